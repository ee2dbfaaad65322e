"""An example's own file in, its figures and times with tracefuse and with PyTorch out.

    python benchmarks/same_script.py lenet resnet --seeds 3
    python benchmarks/same_script.py language --seeds 3 --epochs 5
    taskset -c 1 nice python benchmarks/same_script.py speech --threads 1 --compile

The file is run as it stands; only what it imports is exchanged: under PyTorch ``engine`` is torch,
with a ``jit`` that does nothing (or compiles, with ``--compile``). Each run is a process of its own
with the same number of threads, and the two take turns. Every run is kept in
``benchmarks/results/examples.json`` as soon as it ends: a second call goes on after the last one,
and repeats what was measured of another version of the example.

With one thread the seconds are those of the CPU, so that a process next door counts little; with
more they are the clock's, and the machine should be quiet.
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from machine import describe_machine, describe_versions
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
KEPT = Path(__file__).with_name("results") / "examples.json"
FRAMEWORKS = ("tracefuse", "PyTorch")
Run = dict[str, Any]
# which of an epoch's figures is compared, and whether less of it is better
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
@click.option("--epochs", type=click.IntRange(2), help="A smaller budget, the same for both.")
@click.option("--quick", is_flag=True, help="Short runs, to see that it works.")
@click.option("--again", is_flag=True, help="Repeat what is kept already.")
@click.option("--kept", type=click.Path(dir_okay=False, path_type=Path), default=KEPT)
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(
    names: tuple[str, ...],
    seeds: int,
    threads: int,
    compiled: bool,
    epochs: int | None,
    quick: bool,
    again: bool,
    kept: Path,
    markdown: bool,
) -> None:
    """Train the examples NAMES with both, and compare what they reach and how long they take.

    Both get --threads threads; to leave a core to somebody else, start this under taskset, with
    as many threads as it allows.
    """
    runs: dict[str, Run] = {}
    if kept.exists():
        runs = json.loads(kept.read_text("utf-8"))
    length = "quick" if quick else f"{epochs} epochs" if epochs else "whole"
    found: dict[str, list[list[Run]]] = {name: [[], []] for name in names}
    for seed in range(seeds):
        for name in names:
            for framework, ended in zip(FRAMEWORKS, found[name], strict=True):
                order = ordered(name, framework, seed, threads, compiled, length)
                key = " ".join(str(value) for value in order.values())
                if again or key not in runs or runs[key]["version"] != version_of(name):
                    runs[key] = run(order)
                    keep(runs, kept)
                ended.append(runs[key])
                told = f"{runs[key]['figure']:.4f} in {runs[key][clock(threads)]:.1f} s"
                click.echo(f"{name}, {framework}, seed {seed}: {told}", err=True)
    rows = []
    for name, (ours, theirs) in found.items():
        figure, falls = FIGURES[name]
        title = f"`{name}`: {figure}" + (" (less is better)" if falls else "")
        title += "" if length == "whole" else f", {length}"
        rows.append([title, *cells(ours, theirs, clock(threads))])
    show(rows, markdown)


def clock(threads: int) -> str:
    """Which of a run's times is compared."""
    return "cpu" if threads == 1 else "seconds"


def ordered(
    name: str, framework: str, seed: int, threads: int, compiled: bool, length: str
) -> dict[str, Any]:
    """What one process is to do; the values together name the run."""
    way = "compiled" if compiled and framework == "PyTorch" else "as written"
    return {
        "name": name,
        "framework": framework,
        "seed": seed,
        "threads": threads,
        "way": way,
        "length": length,
    }


def version_of(name: str) -> str:
    """A digest of the example's code: comments, docstrings and layout do not change it."""
    tree = ast.parse((ROOT / "examples" / f"{name}.py").read_text("utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def run(order: dict[str, Any]) -> Run:
    """The figure of one training, the seconds that its epochs took, and when and where it ran."""
    threads = str(order["threads"])
    environment = os.environ | {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "TRACEFUSE_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with tempfile.TemporaryDirectory() as folder:
        environment["TRACEFUSE_CACHE_DIR"] = str(Path(folder) / "cache")  # empty: compiling counts
        arguments = ["--seed", str(order["seed"]), "--out", folder]
        if order["length"] != "whole":
            number = order["length"].removesuffix(" epochs")
            arguments += ["--quick"] if number == "quick" else ["--epochs", number]
        told = {
            "name": order["name"],
            "framework": order["framework"],
            "figure": FIGURES[order["name"]][0],
            "compiled": order["way"] == "compiled",
            "threads": order["threads"],
            "arguments": arguments,
        }
        script = Path(__file__).with_name("exchange.py")
        done = subprocess.run(
            [sys.executable, str(script), json.dumps(told)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise click.ClickException(f"{order['name']}: {done.stderr.strip()[-2000:]}")
    result: Run = json.loads(done.stdout.splitlines()[-1])
    machine, versions = describe_machine(), describe_versions()
    where = {
        "version": version_of(order["name"]),
        "date": datetime.date.today().isoformat(),
        "processor": machine["processor"],
        "cpus": machine["cpus"],
        "torch": versions.get("torch"),
    }
    return result | where


def keep(runs: dict[str, Run], path: Path) -> None:
    """Write all runs, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(runs, indent=1) + "\n", "utf-8")
    beside.replace(path)


def cells(ours: list[Run], theirs: list[Run], kind: str) -> list[str]:
    """One line of the table: figures with their spread over seeds, seconds, their ratios."""
    figures = []
    for runs in (ours, theirs):
        found = [one["figure"] for one in runs]
        figures.append(f"{statistics.mean(found):.4f} ({min(found):.4f} to {max(found):.4f})")
    times = [statistics.median(one[kind] for one in runs) for runs in (ours, theirs)]
    pairs = list(zip(ours, theirs, strict=True))  # of the same seed, one after the other
    ratios = [[b[kind] / a[kind] for a, b in pairs]]
    ratios += [
        [b["later"][kind] / a["later"][kind] for a, b in pairs if "later" in a and "later" in b]
    ]
    told = [f"{statistics.median(column):.2f}" if column else "-" for column in ratios]
    return [*figures, *(f"{number:.1f}" for number in times), *told]


def show(rows: list[list[str]], markdown: bool) -> None:
    """The table, for a terminal or as Markdown."""
    head = ["example", *FRAMEWORKS, *(f"{one}, s" for one in FRAMEWORKS)]
    head += ["ratio", "after the first epoch"]
    if markdown:
        for line in [head, ["---", *["---:"] * (len(head) - 1)], *rows]:
            click.echo("| " + " | ".join(line) + " |")
        return
    table = Table(*head)
    for line in rows:
        table.add_row(*line)
    Console().print(table)


if __name__ == "__main__":
    main()
