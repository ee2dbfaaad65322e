"""Networks that grow in, how the step's and the compiler's time grow out, as a picture.

    python benchmarks/scaling.py --out docs/scaling.png

A stack of equal layers of the same width, trained by Adam: its step against batch, width and depth,
beside PyTorch eager in the same process, by turns; and the seconds from the first call to its end,
with an empty cache of compiled code.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

BATCHES = (16, 32, 64, 128, 256, 512, 1024)
WIDTHS = (32, 64, 128, 256, 512, 1024)
DEPTHS = (2, 4, 8, 16, 32, 64)
PAUSE = 0.03  # seconds between turns: thread pools go to sleep


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("scaling.png"))
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--first", type=int, hidden=True, default=0, help="Time one first call, and end.")
def main(out: Path, threads: int, first: int) -> None:
    """Step times against batch, width and depth, and compile time against depth."""
    if first:
        click.echo(first_call(first))
        return
    panels = {
        "batch": [(size, *both(size, 256, 4, threads)) for size in BATCHES],
        "width": [(size, *both(128, size, 4, threads)) for size in WIDTHS],
        "depth": [(size, *both(128, 128, size, threads)) for size in DEPTHS],
    }
    cold = [(depth, cold_start(depth)) for depth in DEPTHS]
    for name, rows in panels.items():
        for size, ours, theirs in rows:
            click.echo(f"{name} {size}: {1e3 * ours:.2f} ms, PyTorch {1e3 * theirs:.2f} ms")
    for depth, seconds in cold:
        click.echo(f"first call, depth {depth}: {seconds:.2f} s")
    draw(panels, cold, out)


def stack(torch: Any, width: int, depth: int) -> tuple[Any, Callable[[Any, Any], Any]]:
    """A network and its training step; ``torch`` is either framework."""
    nn = torch.nn
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return net, step


def both(batch: int, width: int, depth: int, threads: int) -> tuple[float, float]:
    """Median seconds for a step, ours and PyTorch's, by turns."""
    import torch

    import engine

    torch.set_num_threads(threads)
    engine.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, width), np.float32)
    y = rng.integers(0, 10, batch)
    _, ours = stack(engine, width, depth)
    _, theirs = stack(torch, width, depth)
    compiled = engine.jit(ours)
    runs = [
        lambda: compiled(engine.from_numpy(x), engine.from_numpy(y)).item(),
        lambda: theirs(torch.from_numpy(x), torch.from_numpy(y)).item(),
    ]
    times: list[list[float]] = [[], []]
    for run in runs:
        run()
    for _ in range(7):
        for at, run in enumerate(runs):
            time.sleep(PAUSE)
            run()
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < 0.05 or count < 3:
                run()
                count += 1
            times[at].append((time.perf_counter() - started) / count)
    return statistics.median(times[0]), statistics.median(times[1])


def first_call(depth: int) -> float:
    """Seconds for the first call of a step in this process."""
    import engine

    _, step = stack(engine, 128, depth)
    x, y = engine.zeros(128, 128), engine.zeros(128, dtype=engine.int64)
    started = time.perf_counter()
    engine.jit(step)(x, y).item()
    return time.perf_counter() - started


def cold_start(depth: int) -> float:
    """The same in a process of its own, its cache empty; the median of three."""
    found = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, __file__, "--first", str(depth)]
            environment = os.environ | {"TRACEFUSE_CACHE_DIR": cache}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout))
    return statistics.median(found)


def draw(panels: dict[str, Any], cold: list[tuple[int, float]], out: Path) -> None:
    """Four panels on logarithmic axes."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    figure, places = plt.subplots(1, 4, figsize=(16, 3.6))
    for place, (name, rows) in zip(places, panels.items(), strict=False):
        sizes = [row[0] for row in rows]
        for at, title in ((1, "tracefuse"), (2, "PyTorch eager")):
            place.loglog(sizes, [1e3 * row[at] for row in rows], "o-", label=title)
        place.set(xlabel=name, title=f"a step against {name}", ylabel="ms")
        place.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        place.set_xticks([], minor=True)
        place.legend()
    places[3].loglog([d for d, _ in cold], [s for _, s in cold], "o-")
    places[3].set_xticks([d for d, _ in cold], [str(d) for d, _ in cold], minor=False)
    places[3].set_xticks([], minor=True)
    places[3].set(xlabel="depth", title="the first call, nothing cached", ylabel="s")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
