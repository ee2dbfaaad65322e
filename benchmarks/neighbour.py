"""Contestants in, how much slower each is beside a process that keeps one core busy out.

    python benchmarks/neighbour.py --only lenet,mlp

Threads that spin while they wait for one another lose whole time slices when another process takes
one of their CPUs. Every framework's first way is measured alone and beside the neighbour by turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from contest import TITLES, enter
from process import Worker, WorkerError
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS, find

SECONDS = 0.5  # of steps in one turn
BUSY = "while True: pass"


@click.command()
@click.option("--only", default="lenet,mlp,transformer", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option("--frameworks", default="engine,eager,jax", show_default=True)
def main(only: str, threads: int, rounds: int, frameworks: str) -> None:
    """Step times alone and beside a busy process, and their ratio."""
    unknown = [name for name in only.split(",") if name not in WORKLOADS]
    unknown += [name for name in frameworks.split(",") if name not in TITLES]
    if unknown:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}")
    table = Table("step, ms", "", "alone", "beside a busy process", "ratio")
    with tempfile.TemporaryDirectory() as caches:
        for workload in only.split(","):
            for contestant in enter(frameworks.split(","), workload, threads, first_only=True):
                worker = Worker(contestant, Path(caches))
                try:
                    if worker.hear().get("skipped"):
                        continue
                    quiet, busy = measure(worker, rounds)
                except WorkerError as error:
                    click.echo(str(error), err=True)
                    continue
                finally:
                    worker.close()
                cells = [f"{1e3 * quiet:.2f}", f"{1e3 * busy:.2f}", f"{busy / quiet:.2f}"]
                table.add_row(find(workload).title, TITLES[contestant.framework], *cells)
    Console().print(table)


def measure(worker: Worker, rounds: int) -> tuple[float, float]:
    """Median seconds for a step, alone and beside the neighbour."""
    once = float(worker.ask(do="run", warm=3, steps=3)["seconds"])
    steps = max(3, int(SECONDS / once))
    alone, beside = [], []
    for _ in range(rounds):
        time.sleep(0.05)
        alone.append(float(worker.ask(do="run", warm=2, steps=steps)["seconds"]))
        with neighbour():
            beside.append(float(worker.ask(do="run", warm=2, steps=max(3, steps // 2))["seconds"]))
    return statistics.median(alone), statistics.median(beside)


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps a core busy, wherever the system puts it."""
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        time.sleep(0.2)
        yield
    finally:
        busy.kill()
        busy.wait()


if __name__ == "__main__":
    main()
