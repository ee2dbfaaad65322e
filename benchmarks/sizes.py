"""Batch sizes that come and go in, what each costs at its first use out.

    python benchmarks/sizes.py --only lenet,mlp,transformer

A network is trained with fifty different batch sizes in a random order. For every size after the
second, which makes the sizes symbolic, the first step's CPU time is set against the fastest of the
next few steps of that size. How many programs there were is printed too: two at most.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from typing import Any

import click
import networks
from tasks import make_optimizers, make_step
from workloads import batches, find

COUNT, AGAIN = 50, 4


@click.command()
@click.option("--only", default="lenet,mlp,transformer", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def main(only: str, threads: int) -> None:
    """The cost of a new batch size, in milliseconds over a steady step."""
    import engine

    engine.set_num_threads(threads)
    for name in only.split(","):
        extra, programs = first_uses(engine, name)
        middle, largest = statistics.median(extra), max(extra)
        late = sum(ms > 5.0 for ms in extra)
        click.echo(
            f"{name}: {programs} programs for {len(extra) + 2} sizes; a new size costs "
            f"{middle:.1f} ms more than a steady step (median), {largest:.1f} at most, "
            f"above 5 ms {late} times"
        )


def first_uses(engine: Any, name: str) -> tuple[list[float], int]:
    """Milliseconds that each new size costs beyond a steady step, and the programs there are."""
    workload = find(name)
    model = networks.build(engine, workload)
    optimizers = make_optimizers(engine, workload, model)
    step = engine.jit(make_step(engine, workload, model, optimizers, wrap=lambda part: part))
    sizes = list(range(1, COUNT + 1))
    random.Random(0).shuffle(sizes)
    extra = []
    for at, size in enumerate(sizes):
        (batch,) = batches(dataclasses.replace(workload, batch=size), 1)
        x, y = (engine.from_numpy(array) for array in batch)
        first, *steady = (seconds(step, x, y) for _ in range(1 + AGAIN))
        if at >= 2:
            extra.append(1e3 * (first - min(steady)))
    return extra, len(step.programs)


def seconds(step: Any, x: Any, y: Any) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    step(x, y)
    return time.process_time() - started


if __name__ == "__main__":
    main()
