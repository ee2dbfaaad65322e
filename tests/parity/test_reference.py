"""What PyTorch said (stored) in, the engine's gradients and losses held to it out.

Gradients of the first step within 2e-5 of their largest entry. Losses of 50 steps within 1e-4, or
four times the spread that PyTorch itself shows from weights moved by one rounding unit: a network
with kinks amplifies rounding, PyTorch's own as well.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
import engine.optim
from engine import nn

DATA = Path(__file__).parent / "data"
MODES = ["eager", "interpreter", "codegen"]


def reference(name: str) -> tuple[dict[str, Any], Any]:
    return json.loads((DATA / f"{name}.json").read_text()), np.load(DATA / f"{name}.npz")


def prepared(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return function if mode == "eager" else engine.jit(function, backend=mode)


def model_of(workload: Any, workloads: ModuleType) -> Any:
    model = workloads.networks(nn, F)[workload.name]()
    model.load_state_dict(workload.weights())
    return model


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_first_gradients(name: str, mode: str, workloads: ModuleType) -> None:
    workload = workloads.WORKLOADS[name]
    text, samples = reference(name)
    model = model_of(workload, workloads)

    def gradients(x: Any, y: Any) -> list[Any]:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        return [p.grad for p in model.parameters()]

    x, y = workload.batches()[0]
    found = prepared(mode, gradients)(engine.tensor(x), engine.tensor(y))
    for (part, _), gradient in zip(model.named_parameters(), found, strict=True):
        error = np.abs(workloads.sample(gradient.numpy()) - samples[part]).max()
        assert error <= 2e-5 * text["largest"][part], part


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_losses(name: str, mode: str, workloads: ModuleType) -> None:
    workload = workloads.WORKLOADS[name]
    text, _ = reference(name)
    model = model_of(workload, workloads)
    opt = workloads.optimizer(engine.optim, name, model.parameters())

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    run = prepared(mode, step)
    losses = [run(engine.tensor(x), engine.tensor(y)).item() for x, y in workload.batches()]
    wanted = np.array(text["losses"])
    runs = np.array([wanted, *text["losses_moved"]])
    spread = np.maximum.accumulate(runs.max(0) - runs.min(0))
    bound = np.maximum(1e-4 * wanted, 4 * spread)
    worst = np.argmax(np.abs(losses - wanted) / bound)
    assert np.all(np.abs(losses - wanted) <= bound), (
        f"step {worst}: {losses[worst]}, PyTorch {wanted[worst]}, bound {bound[worst]}"
    )
