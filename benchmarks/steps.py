"""Frameworks and workloads in, a table of step times, start times and memory out.

    python benchmarks/steps.py --quick
    python benchmarks/steps.py --update-readme
    python benchmarks/steps.py --resume --update-readme

Every contestant is a process of its own (worker.py); all take turns within one run (rounds.py),
after their losses have been found equal. What is measured is written at once: ``--resume`` goes on
where a run was ended, and measures again what something disturbed.
"""

from __future__ import annotations

import datetime
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from contest import TITLES, USUAL, Contestant, enter
from machine import describe_machine, describe_versions
from process import ROOT, WorkerError
from report import (
    Rows,
    as_json,
    as_markdown,
    as_table,
    bandwidth_rows,
    doubt_lines,
    from_json,
    memory_rows,
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
STARTED = "lenet,mlp"  # whose cold and warm starts are timed, where --only has them
TURN, QUICK_TURN = 0.2, 0.05  # seconds of steps in one turn of one contestant


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    workloads: list[str]
    frameworks: list[str]
    threads: list[int]
    rounds: int
    starts: int
    started: list[str]
    quick: bool

    def fits(self, other: dict[str, Any]) -> bool:
        """Whether comparisons that ``other`` settings measured may stand beside these."""
        own = asdict(self)
        return all(other.get(name) == own[name] for name in ("frameworks", "rounds", "quick"))


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
@click.option("--starts-of", type=Names(list(WORKLOADS)), default=STARTED, show_default=True)
@click.option("--frameworks", type=Names(list(TITLES)), default=USUAL, show_default=True)
@click.option("--name", default=None, help="Name of the file under benchmarks/results.")
@click.option("--resume", is_flag=True, help="Keep what an earlier, undisturbed run measured.")
@click.option("--update-readme", "readme", is_flag=True, help="Write the tables to README.md.")
def main(
    quick: bool,
    rounds: int | None,
    starts: int | None,
    threads: str,
    only: list[str],
    starts_of: list[str],
    frameworks: list[str],
    name: str | None,
    resume: bool,
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
        [workload for workload in only if workload in starts_of],
        quick,
    )
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    path = RESULTS / f"{name or ('quick' if quick else 'steps')}.json"
    head = {"date": date, "machine": machine, "versions": describe_versions()}
    head |= {"settings": asdict(settings)}
    known = kept(path, head, settings) if resume else []
    measured = measure(settings, known, lambda found: write(path, head, found))
    write(path, head, measured)
    click.echo(f"written: {path}")
    tables = measured.tables(frameworks)
    show(tables, variant_lines(measured.comparisons) + measured.doubts)
    if measured.failures:
        raise click.ClickException("; ".join(measured.failures))
    if readme and measured.doubts:
        raise click.ClickException("README.md is left as it was: " + measured.doubts[0])
    if readme:
        where = f"{machine['processor']}, {machine['cpus']} CPUs, {date[:10]}"
        parts = [*map(as_markdown, tables), f"Medians, on {where}. `make bench` repeats it."]
        try:
            update_readme(ROOT / "README.md", "\n\n".join(parts))
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from None


@dataclass(frozen=True)
class Measured:
    """All that one run found, and which workloads could not be timed."""

    comparisons: list[Comparison]
    starts: list[Start]
    failures: list[str]

    @property
    def doubts(self) -> list[str]:
        """What disturbed the measurements."""
        return doubt_lines(self.comparisons)

    def tables(self, frameworks: list[str]) -> list[Rows]:
        """Every table that has rows, the head first."""
        found = [
            step_rows(self.comparisons, frameworks),
            bandwidth_rows(self.comparisons, frameworks),
            memory_rows(self.comparisons, frameworks),
            start_rows(self.starts),
        ]
        return [rows for rows in found if len(rows) > 1]


def kept(path: Path, head: dict[str, Any], settings: Settings) -> list[Comparison]:
    """What ``path`` holds of this machine, these versions and settings, undisturbed."""
    if not path.exists():
        return []
    record = json.loads(path.read_text())
    there, here = (made["machine"] | {"load_before": None} for made in (record, head))
    same = there == here and record["versions"] == head["versions"]
    return from_json(record) if same and settings.fits(record["settings"]) else []


def measure(
    settings: Settings, known: list[Comparison], tell: Callable[[Measured], None]
) -> Measured:
    """Every comparison that is not known yet, then the starts of each framework's fastest way.

    ``tell`` gets what there is after each comparison.

    A workload whose contestants disagree, or on which the engine fails, is reported as a failure
    at once; the others are timed all the same.
    """
    comparisons: list[Comparison] = []
    failures: list[str] = []
    console = Console(stderr=True)
    turn = QUICK_TURN if settings.quick else TURN
    with console.status("") as status, tempfile.TemporaryDirectory() as caches:
        for workload, count in itertools.product(settings.workloads, settings.threads):
            done = [c for c in known if (c.workload, c.threads) == (workload, count)]
            if done:
                comparisons += done
                continue
            entered = enter(settings.frameworks, workload, count, first_only=settings.quick)
            try:
                found = compare(entered, settings.rounds, turn, Path(caches), status.update)
            except (DisagreementError, WorkerError) as error:
                failures.append(str(error))
                console.print(str(error), style="red", highlight=False)
                continue
            comparisons.append(found)
            later = [c for c in known if c not in comparisons]
            tell(Measured(comparisons + later, [], failures))
        started = [c for c in comparisons if c.workload in settings.started]
        if not settings.starts or not started:
            return Measured(comparisons, [], failures)
        chosen = _best_ways(started, settings.frameworks, settings.threads[-1])
        starts = time_starts(chosen, settings.starts, status.update)
        return Measured(comparisons, starts, failures)


def write(path: Path, head: dict[str, Any], measured: Measured) -> None:
    """Every single measurement as JSON, with what the run was made on."""
    path.parent.mkdir(exist_ok=True)
    record = head | {"failures": measured.failures}
    record |= as_json(measured.comparisons, measured.starts)
    path.write_text(json.dumps(record, indent=1) + "\n")


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
