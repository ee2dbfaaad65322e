"""A script or FILE:FUNCTION in, each kernel of its step against the machine's limits out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codegen import get_num_threads
from codegen.machine import Peaks, is_disturbed, peaks
from engine.cli import failure
from engine.cli.cached import size_text
from engine.cli.compiled import example_arguments, load
from engine.cli.progress import Progress
from engine.cli.run import find_script, run_script
from engine.observe import Ran, observing
from engine.roofline import RUNS, Roofline, Row, prepare, profile

_PIPED = 200  # columns where there is no terminal to ask
_TITLES = ("time", "share", "launches", "MFLOP", "KiB", "GFLOP/s", "GB/s", "of peak")
_ABSENT = "-"


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--step", "name", default="", metavar="NAME", help="Of a script: this jitted step.")
@click.option("--input", "inputs", multiple=True, metavar="TYPE", help="As f32[64,1,32,32].")
@click.option("--kernel", default="", metavar="NAME", help="Only kernels whose name contains NAME.")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Only the N longest kernels.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Stop a script after N calls of a step, compiling aside.",
)
@click.option("--runs", type=click.IntRange(1), default=RUNS, show_default=True, help="To time.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--calibrate", is_flag=True, help="Measure this machine's limits anew.")
@click.option("--traceback", is_flag=True, help="Show whole tracebacks of errors.")
@click.argument("target", metavar="SCRIPT[:FUNCTION]", required=False, default="")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    kernel: str, top: int, file: Path | None, calibrate: bool, target: str, **wanted: Any
) -> None:
    """Time each kernel of a step, and say how near it comes to what this machine can do.

    SCRIPT (a file, or an example's name) runs with ARGUMENTS until a jitted step has been called
    --steps times; the step that took longest is then timed. FUNCTION is a jitted step or a
    plain function at the top of the file, its arguments as `tracefuse compile` finds them. What
    is timed runs on copies. Options come before SCRIPT.

    The limits (arithmetic in registers, bandwidth of each cache and of memory, on as many threads
    as steps use) are measured once and kept in the cache folder. --calibrate alone shows them.
    """
    if not target and not calibrate:
        raise click.UsageError("give SCRIPT, SCRIPT:FUNCTION or --calibrate")
    threads = get_num_threads()
    limits = peaks(threads, anew=calibrate)
    found = _measured(_Wanted(target, **wanted), limits) if target else None
    if calibrate and threads > 1:
        click.echo(machine_text(peaks(1)))
    click.echo(machine_text(limits))
    if found is None:
        return
    rows = chosen(found, kernel, top)
    width = None if sys.stdout.isatty() else _PIPED
    click.echo(f"\n{found.name}: {_count(len(found.rows), 'kernel')}")
    Console(width=width, highlight=False).print(kernel_table(found, rows))
    click.echo(step_text(found, rows))
    if file is not None:
        file.write_text(json.dumps(as_data(found, rows), indent=1) + "\n")


@dataclass(frozen=True)
class _Wanted:
    """What to time, as the command line says it."""

    target: str
    arguments: tuple[str, ...]
    name: str
    inputs: tuple[str, ...]
    steps: int
    runs: int
    traceback: bool

    def measure(self, limits: Peaks) -> Roofline:
        """FUNCTION of a file that is imported, or the busiest step of a script that runs."""
        file, colon, function = self.target.rpartition(":")
        if colon and function.isidentifier() and not Path(self.target).exists():
            if self.arguments:
                raise click.UsageError("ARGUMENTS are for a script; FUNCTION takes --input")
            module, step = load(f"{find_script(file)}:{function}")
            given = example_arguments(module, step, self.inputs)
            return profile(*prepare(step, given, {}), self.runs, limits)
        ran = self._busiest(find_script(self.target))
        assert ran.call is not None
        return profile(ran.name, ran.program, ran.call, self.runs, limits)

    def _busiest(self, script: Path) -> Ran:
        watch, progress = _Watch(self.name, self.steps), Progress(sys.stderr)
        try:
            with observing(watch.observe):
                code = run_script(script, self.arguments, progress, self.traceback, quiet=False)
        except _Enough:
            code = 0
        if code:
            sys.exit(code)
        return watch.busiest(script)


def _measured(wanted: _Wanted, limits: Peaks) -> Roofline:
    """What was asked for; an error is told as `tracefuse run` tells it, and ends the process."""
    try:
        return wanted.measure(limits)
    except click.ClickException:
        raise
    except Exception as error:
        failure.report(error, wanted.traceback)
        sys.exit(1)


class _Enough(BaseException):
    """Ends a script from inside its step; no ``except Exception`` of the script's stops it."""


@dataclass
class _Watch:
    """Adds up the time of every program, until one has run often enough."""

    name: str
    steps: int
    last: dict[int, Ran] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)

    def observe(self, ran: Ran) -> None:
        """Count a call; stop the script after the last one that is needed."""
        if self.name and ran.name != self.name:
            return
        key = id(ran.program)
        self.last[key] = ran
        self.seconds[key] = self.seconds.get(key, 0.0) + (0.0 if ran.built else ran.seconds)
        self.calls[key] = self.calls.get(key, 0) + 1
        if self.calls[key] > self.steps:  # the first of them compiled
            raise _Enough

    def busiest(self, script: Path) -> Ran:
        """The last call of the program that took longest, compiling aside."""
        if not self.last:
            wanted = f"no jitted step called {self.name}" if self.name else "no jitted step"
            raise click.UsageError(f"{script.name} ran {wanted}")
        return self.last[max(self.last, key=lambda key: (self.seconds[key], self.calls[key]))]


def chosen(found: Roofline, kernel: str, top: int) -> tuple[Row, ...]:
    """The rows asked for; a usage error where no name contains the filter."""
    rows = [row for row in found.rows if kernel in row.kernel]
    if not rows:
        known = ", ".join(row.kernel for row in found.rows)
        raise click.UsageError(f"no kernel has {kernel!r} in its name: {known}")
    return tuple(rows[:top])


def machine_text(limits: Peaks) -> str:
    """The machine's limits, on three lines."""
    rates = f"float32 {limits.f32 / 1e9:.0f}, float64 {limits.f64 / 1e9:.0f} GFLOP/s"
    levels = ", ".join(
        f"{level.name} {level.bandwidth / 1e9:.0f}"
        + ("" if level is limits.levels[-1] else f" ({size_text(level.capacity)})")
        for level in limits.levels
    )
    lines = [f"{limits.cpu}, {_count(limits.threads, 'thread')}: {rates}", f"GB/s: {levels}"]
    if is_disturbed(limits):
        lines.append(
            "these limits are too low: other processes used the CPUs while they were measured; "
            "run it again"
        )
    return "\n".join(lines)


def kernel_table(found: Roofline, rows: Sequence[Row]) -> Table:
    """A line for each kernel; where it is too wide, the user's line is cut."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in _TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("fits in", "bound by", "kernel"):
        table.add_column(title, no_wrap=True)
    table.add_column("line")
    for row in rows:
        bound = row.level if row.bound == "memory" else row.bound
        cells = [*_numbers(row, found), row.level, bound, row.kernel]
        line = Text(_line(row), no_wrap=True, overflow="ellipsis")
        table.add_row(*map(Text, cells), line)
    return table


def _numbers(row: Row, found: Roofline) -> list[str]:
    rates = [f"{row.gflops:.1f}", f"{row.gbytes:.1f}", f"{row.share:.1%}"]
    return [
        _time(row.seconds),
        f"{row.seconds / found.step:.1%}",
        f"{row.launches:,}",
        f"{row.flops / 1e6:,.3f}",
        f"{row.bytes / 1024:,.1f}",
        *([_ABSENT] * len(rates) if row.brief else rates),
    ]


def _line(row: Row) -> str:
    if row.loc is None:
        return ""
    return f"{Path(row.loc.file).name}:{row.loc.line}: {row.loc.source}"


def step_text(found: Roofline, rows: Sequence[Row]) -> str:
    """Where the step's time goes."""
    hidden = len(found.rows) - len(rows)
    lines = [f"and {hidden} more", ""] if hidden else [""]
    lines += [
        _part(found.step, "the step, called from Python", found),
        _part(found.kernels, "kernels, each run by itself", found),
        _part(found.between, "barriers and idle threads (negative: kernels overlap)", found),
    ]
    if found.outside:
        lines.append(_part(found.outside, "LAPACK and NumPy, between kernels", found))
    share = found.limit / found.step
    lines += [
        _part(found.python, "Python", found),
        _part(found.limit, f"the least these kernels can take: the step is at {share:.0%}", found),
    ]
    if found.disturbed:
        lines.append(
            "these times are too long: other processes used the CPUs "
            f"(a launch that does nothing took {_time(found.launch).strip()})"
        )
    return "\n".join(lines)


def _part(seconds: float, what: str, found: Roofline) -> str:
    return f"{_time(seconds)} {seconds / found.step:6.1%}  {what}"


def _time(seconds: float) -> str:
    """Eight letters: ``312.4 us``."""
    if abs(seconds) >= 1e-2:
        return f"{seconds * 1e3:5.1f} ms"
    return f"{seconds * 1e6:5.1f} us" if abs(seconds) < 1e-3 else f"{seconds * 1e3:5.2f} ms"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_data(found: Roofline, rows: Sequence[Row]) -> dict[str, Any]:
    """The same as plain data: seconds, bytes, operations."""
    total = {
        name: getattr(found, name)
        for name in ("step", "native", "kernels", "between", "outside", "python", "launch", "limit")
    }
    return {
        "name": found.name,
        "peaks": asdict(found.peaks),
        **total,
        "kernels_each": [
            {**asdict(row), "gflops": row.gflops, "gbytes": row.gbytes, "share": row.share}
            for row in rows
        ],
    }
