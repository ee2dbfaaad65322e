"""Frameworks and workloads in, a table of step times, start times and memory out.

    python benchmarks/steps.py --quick
    python benchmarks/steps.py --update-readme

Every contestant is a process of its own (worker.py); all take turns within one run (rounds.py),
after their losses have been found equal.
"""

from __future__ import annotations

import datetime
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from contest import TITLES, Contestant, enter
from machine import describe_machine, describe_versions
from process import ROOT, WorkerError
from report import (
    Rows,
    as_json,
    as_markdown,
    as_table,
    doubt_lines,
    start_rows,
    step_rows,
    update_readme,
    variant_lines,
)
from rich.console import Console
from rounds import Comparison, DisagreementError, compare
from starts import Start, time_starts
from workloads import WORKLOADS

RESULTS = Path(__file__).with_name("results")


TURN, QUICK_TURN = 0.2, 0.05  # seconds of steps in one turn of one contestant


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    workloads: list[str]
    frameworks: list[str]
    threads: list[int]
    rounds: int
    starts: int
    quick: bool


class Names(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Comma-separated names out of a fixed set."""

    name = "names"

    def __init__(self, known: list[str]) -> None:
        self.known = known

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """The names as a list."""
        found = str(value).split(",")
        for name in found:
            if name not in self.known:
                self.fail(f"{name!r} is not one of {', '.join(self.known)}", param, ctx)
        return found


@click.command()
@click.option("--quick", is_flag=True, help="One way a peer, 5 short rounds, one start.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="Rounds (default 30).")
@click.option("--starts", type=click.IntRange(0), default=None, help="Starts timed (default 3).")
@click.option("--threads", default="1,2", show_default=True, help="Thread counts.")
@click.option("--only", type=Names(list(WORKLOADS)), default=",".join(WORKLOADS), show_default=True)
@click.option("--frameworks", type=Names(list(TITLES)), default=",".join(TITLES), show_default=True)
@click.option("--name", default=None, help="Name of the file under benchmarks/results.")
@click.option("--update-readme", "readme", is_flag=True, help="Write the tables to README.md.")
def main(
    quick: bool,
    rounds: int | None,
    starts: int | None,
    threads: str,
    only: list[str],
    frameworks: list[str],
    name: str | None,
    readme: bool,
) -> None:
    """Step time, start time and memory against PyTorch eager, torch.compile and JAX."""
    machine = describe_machine()
    settings = Settings(
        only,
        frameworks,
        _thread_counts(threads, machine["cpus"]),
        rounds or (5 if quick else 30),
        (1 if quick else 3) if starts is None else starts,
        quick,
    )
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = {
        "date": date,
        "machine": machine,
        "versions": describe_versions(),
        "settings": asdict(settings),
    }
    try:
        comparisons, found = measure(settings)
    except (DisagreementError, WorkerError) as error:
        raise click.ClickException(str(error)) from None
    tables = [step_rows(comparisons, frameworks)] + ([start_rows(found)] if found else [])
    doubts = doubt_lines(comparisons)
    show(tables, variant_lines(comparisons) + doubts)
    path = RESULTS / f"{name or ('quick' if quick else 'steps')}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(record | as_json(comparisons, found), indent=1) + "\n")
    click.echo(f"written: {path}")
    if readme and doubts:
        raise click.ClickException("README.md is left as it was: " + doubts[0])
    if readme:
        where = f"{machine['processor']}, {machine['cpus']} CPUs, {date[:10]}"
        parts = [*map(as_markdown, tables), f"Medians, on {where}. `make bench` repeats it."]
        try:
            update_readme(ROOT / "README.md", "\n\n".join(parts))
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from None


def measure(settings: Settings) -> tuple[list[Comparison], list[Start]]:
    """Every comparison, then the starts of each framework's fastest way."""
    comparisons: list[Comparison] = []
    console = Console(stderr=True)
    with console.status("") as status, tempfile.TemporaryDirectory() as caches:
        for workload in settings.workloads:
            for count in settings.threads:
                entered = enter(settings.frameworks, workload, count, first_only=settings.quick)
                turn = QUICK_TURN if settings.quick else TURN
                comparisons.append(
                    compare(entered, settings.rounds, turn, Path(caches), status.update)
                )
        if not settings.starts:
            return comparisons, []
        chosen = _best_ways(comparisons, settings.frameworks, settings.threads[-1])
        return comparisons, time_starts(chosen, settings.starts, status.update)


def show(tables: list[Rows], lines: list[str]) -> None:
    """Print the tables, and what a reader must know about them."""
    console = Console()
    for rows in tables:
        console.print(as_table(rows))
    for line in lines:
        console.print(line, style="dim", highlight=False, soft_wrap=True)


def _thread_counts(text: str, cpus: int) -> list[int]:
    """Thread counts that this machine has CPUs for, ascending."""
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers") from None
    if counts[0] < 1:
        raise click.BadParameter("a thread count is at least 1")
    fitting = [count for count in counts if count <= cpus]
    if not fitting:
        raise click.BadParameter(f"only {cpus} CPU(s) here")
    return fitting


def _best_ways(
    comparisons: list[Comparison], frameworks: list[str], threads: int
) -> list[Contestant]:
    """Each framework's fastest way with the most threads: the ones whose starts are timed."""
    best = [c.best(f) for c in comparisons if c.threads == threads for f in frameworks]
    return [times.contestant for times in best if times is not None]


if __name__ == "__main__":
    main()
