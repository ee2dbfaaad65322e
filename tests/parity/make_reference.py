"""PyTorch in, what it says about the workloads out, small files in `data/`: no PyTorch in the test.

    python tests/parity/make_reference.py

For each workload: gradients of the first step (float32, a sample of large ones, with the largest
entry), and the losses of 50 steps in float32, in float64, and in float32 from weights moved by one
rounding unit, which shows how far rounding alone carries the curve. For each smooth network of
`curves.py`: the losses in float64, and the state after 50 steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curves import CURVES, reference
from workloads import WORKLOADS, Workload, networks, optimizer, sample

DATA = Path(__file__).parent / "data"
MOVED = 3


def run(workload: Workload, dtype: Any, moved: int = 0) -> tuple[list[float], dict[str, Any]]:
    """The losses of every step, and the gradients of the first."""
    model = networks(torch.nn, torch.nn.functional)[workload.name]().to(dtype)
    weights = {name: move(array, moved) for name, array in workload.weights().items()}
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    opt = optimizer(torch.optim, workload.name, model.parameters())
    losses, first = [], {}
    for x, y in workload.batches():
        opt.zero_grad()
        logits = model(torch.tensor(x, dtype=dtype))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
        loss.backward()
        if not losses:
            first = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
        opt.step()
        losses.append(loss.item())
    return losses, first


def move(array: np.ndarray[Any, Any], seed: int) -> np.ndarray[Any, Any]:
    """Every entry one rounding unit up or down; unchanged for seed 0."""
    if seed == 0:
        return array
    up = np.random.default_rng(seed).random(array.shape) < 0.5
    towards = np.where(up, np.inf, -np.inf).astype(array.dtype)
    return np.nextafter(array, towards)


def main() -> None:
    """Write `data/<workload>.json` and `data/<workload>.npz`."""
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    for workload in WORKLOADS.values():
        losses, gradients = run(workload, torch.float32)
        exact, _ = run(workload, torch.float64)
        moved = [run(workload, torch.float32, seed)[0] for seed in range(1, MOVED + 1)]
        text = {
            "torch": torch.__version__,
            "losses": losses,
            "losses_float64": exact,
            "losses_moved": moved,
            "largest": {name: float(abs(g).max()) for name, g in gradients.items()},
        }
        (DATA / f"{workload.name}.json").write_text(json.dumps(text, indent=1) + "\n")
        samples = {name: sample(gradient) for name, gradient in gradients.items()}
        np.savez_compressed(DATA / f"{workload.name}.npz", **samples)
    for curve in CURVES.values():
        exact_run = reference(torch, curve)
        state = {name: value.astype(np.float32) for name, value in exact_run.state.items()}
        np.savez_compressed(
            DATA / f"curve-{curve.name}.npz", **{"losses": exact_run.losses, **state}
        )


if __name__ == "__main__":
    main()
