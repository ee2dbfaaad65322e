"""A script in, its run with live progress and a summary of what was compiled out."""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engine.cli import failure
from engine.cli.progress import Progress, Tally, shared_terminal
from engine.observe import observing

# examples/ of the working directory, or of the checkout that the engine was imported from
_EXAMPLES = (Path("examples"), Path(__file__).resolve().parents[2] / "examples")
_INTERRUPTED = 130  # what shells expect after Ctrl-C


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--traceback", is_flag=True, help="Show whole tracebacks of errors.")
@click.option("--quiet", is_flag=True, help="No progress line and no summary.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(script: str, arguments: tuple[str, ...], traceback: bool, quiet: bool) -> None:
    """Run SCRIPT with ARGUMENTS; SCRIPT is a file, or the name of an example in a checkout.

    While it runs, a terminal shows loss, accuracy and speed of the jitted step that ran last: the
    first scalar float that the step returns, and the first scalar count. The summary goes to
    stderr, so that output can be piped.
    """
    path = find_script(script)
    progress = Progress(sys.stderr)
    started = time.perf_counter()
    code = run_script(path, arguments, progress, traceback, quiet)
    if progress.tallies and not quiet:
        console = Console(stderr=True)
        console.print(summary(progress))
        console.print(f"{path.name} ran {time.perf_counter() - started:.1f} s")
    sys.exit(code)


def find_script(script: str) -> Path:
    """The file that SCRIPT means. Raises a usage error that names the examples there are."""
    path = Path(script)
    if path.is_file():
        return path
    if path.is_dir():
        raise click.UsageError(f"{script} is a folder; give a Python file in it")
    for folder in _EXAMPLES:
        found = folder / f"{script.removesuffix('.py')}.py"
        if path.name == script and found.is_file():
            return found
    known = [path.stem for path in example_files()]
    hint = f"; examples here: {', '.join(known)}" if known else ""
    raise click.UsageError(f"no file {script}{hint}")


def example_files() -> list[Path]:
    """The examples that can be named, in order; one of the working directory comes first."""
    found: dict[str, Path] = {}
    for folder in _EXAMPLES:
        for path in folder.glob("*.py"):
            found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def run_script(
    path: Path, arguments: tuple[str, ...], progress: Progress, full: bool, quiet: bool
) -> int:
    """Run the script as Python would; its exit code."""
    argv, folders = sys.argv, list(sys.path)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        if quiet:
            runpy.run_path(str(path), run_name="__main__")
        else:
            with observing(progress.observe), shared_terminal(progress):
                runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:
        return _exit_code(stop.code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except Exception as error:
        failure.report(error, full)
        return 1
    finally:
        sys.argv, sys.path[:] = argv, folders
    return 0


def _exit_code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return int(code or 0)
    click.echo(str(code), err=True)
    return 1


def summary(progress: Progress) -> Table:
    """A row for each jitted step."""
    table = Table(box=None, header_style="bold")
    table.add_column("step")
    for title in ("programs", "compiling", "cache hits", "misses", "kernels", "steps", "steps/s"):
        table.add_column(title, justify="right")
    for tally in progress.tallies.values():
        table.add_row(*_row(tally))
    return table


def _row(tally: Tally) -> list[str]:
    entries = list(tally.programs.values())
    reports = [getattr(entry.bound.program, "report", None) for entry in entries]
    built = [report for report in reports if report is not None]  # the interpreter has none
    hits = sum(report.cache_hit for report in built)
    return [
        tally.name,
        str(len(entries)),
        f"{sum(sum(entry.seconds) for entry in entries):.2f} s",
        str(hits),
        str(len(built) - hits),
        str(sum(report.kernels for report in built)),
        f"{tally.steps:,}",
        "-" if tally.speed is None else f"{tally.speed:,.0f}",
    ]
