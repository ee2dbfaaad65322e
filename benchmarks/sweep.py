"""Random shapes in, the engine's step time against PyTorch's on each out, and the worst ratio.

    python benchmarks/sweep.py --count 12
    python benchmarks/sweep.py --frameworks engine,eager,compile,jax --count 6

MLPs, convolutional networks and transformers of odd sizes that nobody tuned for (draws.py). The
same rounds, checks and processes as in steps.py; each peer runs its first way only.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import click
from contest import OURS, TITLES, enter
from machine import describe_machine, describe_versions
from process import WorkerError
from report import as_json, as_table, doubt_lines
from rich.console import Console
from rounds import Comparison, DisagreementError, compare
from workloads import SWEEP, find

RESULTS = Path(__file__).with_name("results")
TURN = 0.05  # seconds of steps in one turn of one contestant
DEFAULT = f"{OURS},eager"


@click.command()
@click.option("--count", type=click.IntRange(1), default=12, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="First draw.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--frameworks", default=DEFAULT, show_default=True, help=", ".join(TITLES))
@click.option("--name", default="sweep", help="Name of the file under benchmarks/results.")
def main(count: int, seed: int, rounds: int, threads: int, frameworks: str, name: str) -> None:
    """Random shapes: each ratio of the best peer to the engine, and the worst."""
    chosen = frameworks.split(",")
    unknown = [framework for framework in chosen if framework not in TITLES]
    if unknown or OURS not in chosen or len(chosen) < 2:
        raise click.BadParameter(f"{OURS} and at least one of {', '.join(TITLES)}")
    console = Console()
    comparisons, failures = [], []
    with tempfile.TemporaryDirectory() as caches:
        for number in range(seed, seed + count):
            entered = enter(chosen, f"{SWEEP}{number}", threads, first_only=True)
            try:
                found = compare(entered, rounds, TURN, Path(caches), lambda text: None)
            except (DisagreementError, WorkerError) as error:
                failures.append(f"{find(f'{SWEEP}{number}').title}: {error}")
                console.print(failures[-1], style="red", highlight=False)
                continue
            comparisons.append(found)
            console.print(_line(found), highlight=False, soft_wrap=True)
    if comparisons:
        _finish(console, comparisons, chosen, failures, name)
    if failures:
        raise click.ClickException(f"{len(failures)} of {count} shapes failed")


def _finish(
    console: Console, comparisons: list[Comparison], chosen: list[str], failures: Any, name: str
) -> None:
    """The table, slowest against its peer first, and the file of all measurements."""
    ordered = sorted(comparisons, key=_ratio)
    head = ["training step, ms", *(TITLES[f] for f in chosen), "best peer / ours"]
    rows = [[find(c.workload).title, *_cells(c, chosen), f"{_ratio(c):.2f}"] for c in ordered]
    console.print(as_table([head, *rows]))
    mean = statistics.geometric_mean(map(_ratio, ordered))
    console.print(f"worst: {_line(ordered[0])}\ngeometric mean: {mean:.2f}", highlight=False)
    for line in doubt_lines(comparisons):
        console.print(line, style="dim", highlight=False, soft_wrap=True)
    record = {"machine": describe_machine(), "versions": describe_versions(), "failures": failures}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record | as_json(comparisons, []), indent=1) + "\n")
    console.print(f"written: {path}")


def _ratio(comparison: Comparison) -> float:
    return statistics.median(comparison.ratios() or [0.0])


def _cells(comparison: Comparison, frameworks: list[str]) -> list[str]:
    best = [comparison.best(framework) for framework in frameworks]
    return [f"{times.median * 1e3:.3f}" if times else "-" for times in best]


def _line(comparison: Comparison) -> str:
    title = find(comparison.workload).title
    return f"{_ratio(comparison):6.2f}  {title} ({comparison.workload})"


if __name__ == "__main__":
    main()
