"""An example's own file in, its figures and times with tracefuse and with PyTorch out.

    python benchmarks/same_script.py lenet resnet --seeds 3
    python benchmarks/same_script.py speech --compile

The file is run as it stands; only what it imports is exchanged: under PyTorch ``engine`` is torch,
with a ``jit`` that does nothing (or compiles, with ``--compile``). Each run is a process of its own
with the same number of threads, and the two take turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
# which of the figures an example returns is its own, and whether less of it is better
FIGURES = {
    "mlp": ("accuracy", False),
    "lenet": ("accuracy", False),
    "resnet": ("accuracy", False),
    "detection": ("precision", False),
    "speech": ("errors", True),
    "language": ("bits", True),
    "genomics": ("area", False),
    "multimodal": ("picture to recording", False),
}


@click.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice(list(FIGURES)))
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="torch.compile around every step.")
@click.option("--quick", is_flag=True, help="Short runs, to see that it works.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(
    names: tuple[str, ...], seeds: int, threads: int, compiled: bool, quick: bool, markdown: bool
) -> None:
    """Train the examples NAMES with both, and compare what they reach and how long they take."""
    rows = []
    for name in names:
        found: dict[str, list[dict[str, Any]]] = {"tracefuse": [], "PyTorch": []}
        for seed in range(seeds):
            for framework, runs in found.items():
                runs.append(run(name, framework, seed, threads, compiled, quick))
                last = runs[-1]
                told = f"{last['figure']:.4f} in {last['seconds']:.1f} s"
                click.echo(f"{name}, {framework}, seed {seed}: {told}", err=True)
        rows.append(row(name, *found.values()))
    show(rows, markdown)


def run(
    name: str, framework: str, seed: int, threads: int, compiled: bool, quick: bool
) -> dict[str, Any]:
    """The figure of one training, and the seconds that its epochs took."""
    with tempfile.TemporaryDirectory() as folder:
        order = {
            "name": name,
            "framework": framework,
            "figure": FIGURES[name][0],
            "compiled": compiled,
            "threads": threads,
            "arguments": ["--seed", str(seed), "--out", folder, *(["--quick"] if quick else [])],
        }
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TRACEFUSE_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        script = Path(__file__).with_name("exchange.py")
        done = subprocess.run(
            [sys.executable, str(script), json.dumps(order)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise click.ClickException(f"{name} with {framework}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """One line of the table: figures with their spread over seeds, seconds, their ratio."""
    cells = [f"`{name}`: {FIGURES[name][0]}" + (" (less is better)" if FIGURES[name][1] else "")]
    for runs in (ours, theirs):
        figures = [one["figure"] for one in runs]
        cells.append(f"{statistics.mean(figures):.4f} ({min(figures):.4f} to {max(figures):.4f})")
    times = [statistics.median(one["seconds"] for one in runs) for runs in (ours, theirs)]
    return [*cells, *(f"{seconds:.1f}" for seconds in times), f"{times[1] / times[0]:.2f}"]


def show(rows: list[list[str]], markdown: bool) -> None:
    """The table, for a terminal or as Markdown."""
    head = ["example", "tracefuse", "PyTorch", "tracefuse, s", "PyTorch, s", "ratio"]
    if markdown:
        for cells in [head, ["---", *["---:"] * 5], *rows]:
            click.echo("| " + " | ".join(cells) + " |")
        return
    table = Table(*head)
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
