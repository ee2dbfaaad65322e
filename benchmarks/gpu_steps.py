"""A workload's name in, its training step on a GPU against the CPU's, then timed, out.

    python benchmarks/gpu_steps.py NAME [--small] [--compile] [--precision tf32]

Prints one line of JSON with the losses of both, warms up, waits for a line on its standard input,
and prints one with the times of the step and one with those of its kernels: several networks
compile at the same time, and are timed one by one. ``--precision`` lets both use the tensor
cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import networks
import numpy as np
from gpu_kernels import kernel_times
from kinds import Workload
from tasks import make_optimizers, make_step
from weights import first_weights
from workloads import batches, find

import engine

CHECKED = 3  # steps that are compared
WARM = 10
ROUNDS, STEPS = 7, 30  # of each framework, in turns
LIMIT = 6.0  # seconds for all rounds
WORDS = {"default": "highest", "tf32": "high", "bf16": "medium"}  # PyTorch's
GRAPHS = "reduce-overhead"  # torch.compile's word for CUDA graphs, which a step is here, too
SMALL: dict[str, dict[str, Any]] = {
    "lenet": {"channels": (2, 3), "kernel": 3, "image": 14, "hidden": (8,), "classes": 4},
    "mlp": {"widths": (12, 16, 4)},
    "transformer": {
        "vocabulary": 8, "length": 4, "width": 8, "heads": 2, "feed": 16, "layers": 1,
    },
    "lstm": {"features": 4, "width": 6, "length": 3, "classes": 4},
    "resnet": {"widths": (2, 3), "image": 6, "classes": 4},
}  # fmt: skip


def workload_of(name: str, small: bool) -> Workload:
    """The benchmark's sizes, or some that a simulator gets through."""
    found = find(name)
    return replace(found, batch=2, sizes=SMALL[name]) if small else found


def trainer(
    torch: Any, workload: Workload, device: str, compiled: bool = False, precision: str = "default"
) -> Any:
    """A step with weights and an optimizer of its own on ``device``."""
    model = networks.build(torch, workload)
    first = {name: torch.from_numpy(array) for name, array in first_weights(workload).items()}
    model.load_state_dict(first)
    model.to(device)
    opts = make_optimizers(torch, workload, model, **_options(torch))
    wrap: Callable[[Any], Any] = (
        partial(torch.compile, mode=GRAPHS) if compiled else lambda part: part
    )
    step = make_step(torch, workload, model, opts, wrap)
    return torch.jit(step, precision=precision) if torch is engine else step


def _options(torch: Any) -> dict[str, Any]:
    return {} if torch is engine else {"fused": True}


def moved(torch: Any, workload: Workload, device: str) -> list[tuple[Any, Any]]:
    """The batches on ``device``."""
    pairs = batches(workload, CHECKED)
    return [tuple(torch.from_numpy(part).to(device) for part in pair) for pair in pairs]  # type: ignore[misc]


def checked(workload: Workload, precision: str) -> tuple[dict[str, Any], Any, list[Any]]:
    """The losses on the CPU and on the GPU, the GPU's step and its batches."""
    losses: dict[str, list[float]] = {}
    for device in ("cpu", "cuda"):
        started = time.perf_counter()
        step = trainer(engine, workload, device, precision=precision)
        data = moved(engine, workload, device)
        found = [step(x, y)[0] for x, y in data]
        losses[device] = [loss.item() for loss in found]
        seconds = time.perf_counter() - started
    apart = np.abs(np.array(losses["cuda"]) / np.array(losses["cpu"]) - 1).max()
    lines = step.explain().splitlines()
    how = next((line.strip() for line in lines if "launches" in line), "")
    return {"losses": losses, "apart": float(apart), "seconds": seconds, "how": how}, step, data


def timed(ways: dict[str, tuple[Any, list[Any], Any]]) -> dict[str, float]:
    """Milliseconds of a step of each way: the median of rounds, taken in turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for step, data, wait in ways.values():
        _round(step, data, wait, WARM)
    started = time.perf_counter()
    for _ in range(ROUNDS):
        for name, (step, data, wait) in ways.items():
            found[name].append(_round(step, data, wait, STEPS))
        if time.perf_counter() - started > LIMIT * len(ways):
            break
    return {name: median(rounds) * 1e3 for name, rounds in found.items()}


def _round(step: Any, data: list[Any], wait: Any, count: int) -> float:
    wait()
    started = time.perf_counter()
    for at in range(count):
        step(*data[at % len(data)])
    wait()
    return (time.perf_counter() - started) / count


def rivals(
    workload: Workload, compiled: bool, precision: str
) -> dict[str, tuple[Any, list[Any], Any]]:
    """PyTorch's ways on the same GPU; none where PyTorch has no CUDA."""
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    torch.set_float32_matmul_precision(WORDS[precision])
    torch.backends.cudnn.allow_tf32 = precision != "default"
    data, wait = moved(torch, workload, "cuda"), torch.cuda.synchronize
    found = {"PyTorch eager": (trainer(torch, workload, "cuda"), data, wait)}
    if compiled:
        found["torch.compile"] = (trainer(torch, workload, "cuda", compiled=True), data, wait)
    return found


def runs(name: str, way: tuple[Any, list[Any], Any]) -> bool:
    """Whether a way runs; whatever compiles does so here, while other networks do, too."""
    try:
        _round(*way, WARM)
    except Exception as error:
        if name == "tracefuse":
            raise
        print(f"{name} does not run: {error}", file=sys.stderr)
        return False
    return True


def main() -> None:
    """Check, wait to be asked, time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", choices=list(WORDS), default="default")
    given = parser.parse_args()
    workload = workload_of(given.name, given.small)
    report, step, data = checked(workload, given.precision)
    print(json.dumps(report), flush=True)
    ways = {"tracefuse": (step, data, engine.cuda.synchronize)}
    ways |= rivals(workload, given.compile, given.precision)
    ways = {name: way for name, way in ways.items() if runs(name, way)}
    if not sys.stdin.readline():
        return
    print(json.dumps(timed(ways)), flush=True)
    entry = max(step.programs, key=lambda entry: entry.runs)
    print(json.dumps(kernel_times(entry.bound.program)), flush=True)


if __name__ == "__main__":
    main()
