"""Losses along a direction in, a step that satisfies the strong Wolfe conditions out.

As PyTorch's, which follows minFunc: first a bracket that holds such a step, then a zoom into it
by cubic interpolation (Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from engine.tensor import Tensor

_DECREASE, _CURVATURE = 1e-4, 0.9


@dataclass(frozen=True)
class Trial:
    """A step length, with the loss, its gradient, and its slope along the direction there."""

    step: float
    loss: float
    grad: Tensor
    slope: float


Evaluate: TypeAlias = Callable[[float], Trial]


def strong_wolfe(
    evaluate: Evaluate, start: Trial, step: float, least: float, most: int
) -> tuple[Trial, int]:
    """The best trial, and how many were made.

    ``least`` is the width of a bracket that is not divided further, ``most`` the number of trials
    after the first.
    """
    bracket, turns = _bracket(evaluate, start, step, most)
    if len(bracket) == 1:
        return bracket[0], turns + 1
    low, turns = _zoom(evaluate, start, bracket, least, turns, most)
    return low, turns + 1


def _bracket(evaluate: Evaluate, start: Trial, step: float, most: int) -> tuple[list[Trial], int]:
    """Two trials around a good step, or a good step alone; and the number of trials so far."""
    before, trial = start, evaluate(step)
    for turn in range(most):
        if _is_high(trial, start) or (turn > 1 and trial.loss >= before.loss):
            return [before, trial], turn
        if _is_flat(trial, start):
            return [trial], turn
        if trial.slope >= 0:
            return [before, trial], turn
        bounds = trial.step + 0.01 * (trial.step - before.step), trial.step * 10
        before, trial = trial, evaluate(_cubic(before, trial, bounds))
    return [start, trial], most


def _zoom(
    evaluate: Evaluate, start: Trial, ends: list[Trial], least: float, turns: int, most: int
) -> tuple[Trial, int]:
    """The lower end of the bracket when it holds a good step or is too narrow."""
    low, high, near = *_ordered(ends), False
    while turns < most and not abs(ends[1].step - ends[0].step) < least:
        step, near = _apart(_cubic(ends[0], ends[1], _steps(ends)), ends, near)
        trial, turns = evaluate(step), turns + 1
        if _is_high(trial, start) or trial.loss >= ends[low].loss:
            ends[high] = trial
            low, high = _ordered(ends)
            continue
        flat = _is_flat(trial, start)
        if not flat and trial.slope * (ends[high].step - ends[low].step) >= 0:
            ends[high] = ends[low]
        ends[low] = trial
        if flat:
            break
    return ends[low], turns


def _apart(step: float, ends: list[Trial], near: bool) -> tuple[float, bool]:
    """``step``, moved away from an end that it has come too near to twice; whether it is near."""
    low, high = _steps(ends)
    room = 0.1 * (high - low)
    if min(high - step, step - low) >= room:
        return step, False
    if not near and low < step < high:
        return step, True
    return (high - room if abs(step - high) < abs(step - low) else low + room), False


def _cubic(a: Trial, b: Trial, bounds: tuple[float, float]) -> float:
    """Where the cubic through both, with their slopes, is least; the middle if it is nowhere."""
    a, b = (a, b) if a.step <= b.step else (b, a)
    bend = a.slope + b.slope - 3 * _ratio(a.loss - b.loss, a.step - b.step)
    square = bend**2 - a.slope * b.slope
    if not square >= 0:
        return (bounds[0] + bounds[1]) / 2.0
    root = math.sqrt(square)
    share = _ratio(b.slope + root - bend, b.slope - a.slope + 2 * root)
    return min(max(b.step - (b.step - a.step) * share, bounds[0]), bounds[1])


def _ratio(a: float, b: float) -> float:
    """``a / b`` as IEEE has it."""
    if b != 0:
        return a / b
    return (
        math.copysign(math.inf, a) * math.copysign(1.0, b) if a and not math.isnan(a) else math.nan
    )


def _is_high(trial: Trial, start: Trial) -> bool:
    return trial.loss > start.loss + _DECREASE * trial.step * start.slope


def _is_flat(trial: Trial, start: Trial) -> bool:
    return abs(trial.slope) <= -_CURVATURE * start.slope


def _ordered(ends: list[Trial]) -> tuple[int, int]:
    return (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)


def _steps(ends: list[Trial]) -> tuple[float, float]:
    low, high = sorted((ends[0].step, ends[1].step))
    return low, high
