"""A step number in, a learning rate that falls and rises again out; momentum goes against it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from engine.optim.lr_scheduler.schedule import (
    LRScheduler,
    attributes,
    give_back,
    one_each,
    outside_of_steps,
    set_rate,
)
from engine.optim.optimizer import Group, Optimizer


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down in ``T_0`` epochs, then again, each ``T_mult`` times longer."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """The next epoch, or ``epoch``, which may lie between two."""
        if epoch is not None and epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            self.T_cur, self.T_i = epoch, self.T_0
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        outside_of_steps()
        self.last_epoch = math.floor(epoch)
        self.set_rates(self.get_lr())


class _Cycle(LRScheduler):
    """A schedule that may move momentum (or Adam's first beta) too."""

    def _take_momentum(
        self, wanted: bool, base: float | list[float], top: float | list[float], first: bool
    ) -> tuple[list[float], list[float]]:
        """The least and the largest momentum of every group, set where the schedule starts."""
        self.cycle_momentum = wanted
        if not wanted:
            return [], []
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            text = "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            raise ValueError(text)
        self.use_beta1 = "betas" in defaults
        lows = one_each("base_momentum", self.optimizer, base)
        highs = one_each("max_momentum", self.optimizer, top)
        for group, low, high in zip(self.groups, lows, highs, strict=True):
            if first:
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return lows, highs

    def _set_momentum(self, group: Group, value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_Cycle):
    """Up and down between ``base_lr`` and ``max_lr`` (Smith, 2017), scaled by ``mode``."""

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if mode not in {"triangular", "triangular2", "exp_range"} and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.optimizer, self.mode, self.gamma = optimizer, mode, gamma
        bases = one_each("base_lr", optimizer, base_lr)
        for group, base in zip(optimizer.param_groups, bases, strict=True):
            if last_epoch == -1:
                set_rate(group, base)
        self.max_lrs = one_each("max_lr", optimizer, max_lr)
        self.total_size = float(step_size_up + (step_size_down or step_size_up))
        self.step_ratio = step_size_up / self.total_size
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        momenta = self._take_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch == -1)
        if cycle_momentum:
            self.base_momentums, self.max_momentums = momenta
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases

    def scale_fn(self, x: float) -> float:
        """How high cycle (or step) ``x`` reaches."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        heights = {"triangular": 1.0, "triangular2": 0.5 ** (x - 1)}
        out: float = heights[self.mode] if self.mode in heights else self.gamma**x
        return out

    def state_dict(self) -> dict[str, Any]:
        """As the other schedules'; of a scaling function its attributes, if it has some."""
        return {**super().state_dict(), "_scale_fn_custom": attributes(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        own = dict(state_dict)
        give_back(self._scale_fn_custom, own.pop("_scale_fn_custom", None))
        super().load_state_dict(own)

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        up = x <= self.step_ratio
        share = x / self.step_ratio if up else (x - 1) / (self.step_ratio - 1)
        scale = share * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ranges = zip(self.groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in ranges:
                self._set_momentum(group, high - (high - low) * scale)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [base + (top - base) * scale for base, top in pairs]


class OneCycleLR(_Cycle):
    """Up to ``max_lr`` and far down again, once (Smith and Topin, 2019); step it every batch."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                text = "You must define either total_steps OR (epochs AND steps_per_epoch)"
                raise ValueError(text)
            total_steps = epochs * steps_per_epoch
        if total_steps <= 0:
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in {"cos", "linear"}:
            text = f"anneal_strategy must be one of 'cos' or 'linear', not {anneal_strategy}"
            raise ValueError(text)
        self.optimizer, self.total_steps = optimizer, total_steps
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(pct_start * total_steps, total_steps, three_phase)
        tops = one_each("max_lr", optimizer, max_lr)
        for group, top in zip(optimizer.param_groups, tops, strict=True):
            if last_epoch == -1:
                start = top / div_factor
                group.update(initial_lr=start, max_lr=top, min_lr=start / final_div_factor)
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    def get_lr(self) -> list[float]:
        at = self.last_epoch
        if at > self.total_steps:
            text = f"Tried to step {at} times."
            raise ValueError(f"{text} The specified number of total steps is {self.total_steps}")
        ends = [phase["end_step"] for phase in self._schedule_phases]
        number = next((i for i, end in enumerate(ends) if at <= end), len(ends) - 1)
        begin, phase = ends[number - 1] if number else 0.0, self._schedule_phases[number]
        share = (at - begin) / (ends[number] - begin)
        if self.cycle_momentum:
            for group in self.groups:
                low, high = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._between(low, high, share))
        pairs = [(group[phase["start_lr"]], group[phase["end_lr"]]) for group in self.groups]
        return [self._between(low, high, share) for low, high in pairs]


def _phases(rise: float, total: int, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which settings its rate and momentum move."""
    momenta = ("max_momentum", "base_momentum")
    up = _phase(rise - 1, "initial_lr", "max_lr", *momenta)
    if not three:
        return [up, _phase(total - 1, "max_lr", "min_lr", *momenta[::-1])]
    down = _phase(2 * rise - 2, "max_lr", "initial_lr", *momenta[::-1])
    last = _phase(total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")
    return [up, down, last]


def _phase(end: float, *settings: str) -> dict[str, Any]:
    names = ("start_lr", "end_lr", "start_momentum", "end_momentum")
    return {"end_step": float(end), **dict(zip(names, settings, strict=True))}
