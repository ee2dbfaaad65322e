"""Single operations with their gradients: the engine's time against PyTorch eager's on each.

    python benchmarks/ops.py
    python benchmarks/ops.py --only conv --threads 2

Each is compiled alone: its value, summed with random weights, and the gradient in every float
operand. So arrays that a network would hand on as they lie come in and go out in rows, which costs
us and not PyTorch. The two take turns in one process; gradients must agree before anything is
timed. OpenMP's threads spin for milliseconds after their work: every turn begins when they sleep,
with calls that are not timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
import torch
from op_cases import CASES, OpCase
from rich.console import Console
from rich.table import Table

import engine

CALLS, TURN = 3, 0.01  # the fewest timed ones of a turn, and seconds that they take together
REST, WARM = 0.02, 0.005  # seconds before each turn, and of calls that are not timed
CLOSE = 2e-4  # of the largest entry: sums of a million terms, in float32
TIES = 1e-4  # of the entries may differ: equal numbers are sorted in any order
Step = Callable[..., tuple[Any, ...]]


@click.command()
@click.option("--only", default="", help="Operations whose title contains this.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
def main(only: str, threads: int, rounds: int) -> None:
    """Time every operation, the slowest against PyTorch first."""
    torch.set_num_threads(threads)
    engine.set_num_threads(threads)
    rows = [_measure(case, rounds) for case in CASES if only in case.title]
    table = Table(
        "operation", "tracefuse, ms", "PyTorch, ms", "ratio", title=f"{threads} thread(s)"
    )
    for title, ours, theirs in sorted(rows, key=lambda row: row[2] / row[1]):
        table.add_row(title, f"{ours * 1e3:.2f}", f"{theirs * 1e3:.2f}", f"{theirs / ours:.2f}")
    Console().print(table)
    below = sum(theirs < ours for _, ours, theirs in rows)
    mean = statistics.geometric_mean(theirs / ours for _, ours, theirs in rows)
    click.echo(f"{len(rows)} operations, {below} below 1, geometric mean {mean:.2f}")


def _measure(case: OpCase, rounds: int) -> tuple[str, float, float]:
    """Title and seconds of both, the medians of turns."""
    rng = np.random.default_rng(0)
    arrays = case.arrays(rng)
    out = case.function(torch, torch.nn.functional, *map(torch.tensor, arrays))
    arrays.append(rng.standard_normal(out.shape).astype(np.float32))
    ours, theirs = engine.jit(_step(case, engine)), _step(case, torch)
    mine, other = ([module.tensor(a) for a in arrays] for module in (engine, torch))
    _agree(case.title, ours(*mine), theirs(*other))
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for step, tensors, seconds in ((ours, mine, taken[0]), (theirs, other, taken[1])):
            time.sleep(REST)
            _calls(step, tensors, 1, WARM)
            seconds += _calls(step, tensors, CALLS, TURN)
    return case.title, statistics.median(taken[0]), statistics.median(taken[1])


def _calls(step: Step, tensors: Sequence[Any], fewest: int, together: float) -> list[float]:
    """Seconds of each of so many calls in a row."""
    taken: list[float] = []
    while len(taken) < fewest or sum(taken) < together:
        started = time.perf_counter()
        step(*tensors)[0].item()
        taken.append(time.perf_counter() - started)
    return taken


def _step(case: OpCase, module: Any) -> Step:
    def step(*tensors: Any) -> tuple[Any, ...]:
        *given, weights = tensors
        leaves = [
            t.detach().requires_grad_() if t.is_floating_point() else t.detach() for t in given
        ]
        total = (case.function(module, module.nn.functional, *leaves) * weights).sum()
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        return total, *module.autograd.grad(total, wanted)

    return step


def _agree(title: str, ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        a, b = one.detach().numpy(), other.detach().numpy()
        apart = float((np.abs(a - b) > CLOSE * np.abs(b).max()).mean())
        if apart > TIES:
            raise click.ClickException(f"{title}: {apart:.1%} of a gradient's entries differ")


if __name__ == "__main__":
    main()
