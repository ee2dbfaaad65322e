"""A program on a GPU in, the time of each of its launches beside the data sheet's bound out.

A kernel of a small step runs for a few microseconds, less than Python takes to ask for it: each is
recorded many times over as one graph, and the graph is timed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from codegen.cuda.binding import Launch
from codegen.cuda.estimate import GPUS, Gpu, estimates

TIMES, ROUNDS = 20, 5


def gpu_of(name: str) -> Gpu:
    """The data sheet of a device by its name; an H100's where it is not known."""
    word = name.lower().replace(" ", "")
    return next((gpu for key, gpu in GPUS.items() if key in word), GPUS["h100"])


def kernel_times(program: Any) -> list[dict[str, Any]]:
    """For each kernel of the latest binding: name, launches, us, least us, grid and what bounds."""
    binding = list(program._bindings.values())[-1]
    driver = program.runtime.driver
    bounds = estimates(program.kernels, binding.env, gpu_of(driver.name))
    launches: dict[int, list[Launch]] = {}
    for one in binding.work:
        if isinstance(one, Launch):
            launches.setdefault(one.kernel, []).append(one)
    found = []
    for kernel, asked in launches.items():
        least = bounds[kernel]
        found.append(
            {
                "kernel": program.sources[kernel].name,
                "launches": len(asked),
                "us": _time(program, driver, asked[0]) * 1e6 * len(asked),
                "least": least.seconds * 1e6,
                "by": least.bound,
                "grid": f"{asked[0].blocks}x{asked[0].threads}",
            }
        )
    return found


def _time(program: Any, driver: Any, launch: Launch) -> float:
    """Seconds of one launch among many."""
    function = program._compiled[launch.kernel]

    def work() -> None:
        for _ in range(TIMES):
            driver.launch(function, launch.blocks, launch.threads, launch.arguments)

    graph = driver.record(work)
    taken = []
    for _ in range(ROUNDS + 1):
        driver.synchronize()
        started = time.perf_counter()
        driver.replay(graph)
        driver.synchronize()
        taken.append((time.perf_counter() - started) / TIMES)
    return median(taken[1:])


def table(name: str, found: list[Mapping[str, Any]]) -> str:
    """The kernels as Markdown, the longest first."""
    total, least = (sum(one[key] for one in found) for key in ("us", "least"))
    rows = [f"\n{name}: kernels {total:.1f} us, at least {least:.1f} us by the data sheet\n"]
    rows += [
        "| kernel | launches | grid | us | at least | by |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in sorted(found, key=lambda one: -one["us"]):
        rows.append(
            f"| {one['kernel']} | {one['launches']} | {one['grid']} | {one['us']:.1f} "
            f"| {one['least']:.1f} | {one['by']} |"
        )
    return "\n".join(rows)
