"""PyTorch's float64 curves (stored) in, the engine's float32 training held to them out.

Losses of 50 steps within 1e-5, the state at the end within 3e-5 of each tensor's largest entry; and
for each of a list of faults, that training with the fault is outside of these bounds.
"""

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
NAMES = ["transformer", "residual", "lstm"]
FAULTS = [
    ("transformer", "AdamW's epsilon inside the root"),
    ("transformer", "no bias correction"),
    ("transformer", "coupled weight decay"),
    ("transformer", "LayerNorm's epsilon outside the root"),
    ("residual", "BatchNorm's epsilon outside the root"),
    ("residual", "biased running variance"),
    ("residual", "dampened momentum"),
    ("residual", "no weight decay"),
    ("lstm", "Adam's epsilon inside the root"),
    ("lstm", "no bias correction"),
]


def stored(name: str, curves: ModuleType) -> Any:
    arrays = dict(np.load(DATA / f"curve-{name}.npz"))
    losses = arrays.pop("losses").tolist()
    return curves.Run(losses, {k: v.astype(np.float64) for k, v in arrays.items()})


def trained(
    name: str, mode: str, curves: ModuleType, optimizer: Callable[[Any], Any] | None = None
) -> Any:
    curve = curves.CURVES[name]
    missing = [layer for layer in curve.needs if not hasattr(nn, layer)]
    if missing:
        pytest.skip(f"engine.nn has no {', '.join(missing)} yet")
    model = curve.build(nn)
    model.load_state_dict(curves.weights(model), strict=False)
    make = optimizer or (lambda p: curve.optimizer(engine.optim, p))
    prepared: Any = (lambda f: f) if mode == "eager" else lambda f: engine.jit(f, backend=mode)
    opt = make(model.parameters())
    return curves.train(model, opt, engine.tensor, F.cross_entropy, prepared)


@pytest.mark.parametrize("mode", ["eager", "interpreter", "codegen"])
@pytest.mark.parametrize("name", NAMES)
def test_curve(name: str, mode: str, curves: ModuleType) -> None:
    loss, state = trained(name, mode, curves).distance(stored(name, curves))
    worst = max(state, key=lambda part: state[part])
    assert loss <= curves.TOLERANCE
    assert state[worst] <= curves.STATE_TOLERANCE, worst


def test_every_fault_is_tried(mutations: ModuleType) -> None:
    assert set(FAULTS) == set(mutations.MUTATIONS)


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_fault_is_seen(
    name: str,
    fault: str,
    curves: ModuleType,
    mutations: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation = mutations.MUTATIONS[name, fault]
    for owner, attribute, value in mutation.patches:
        monkeypatch.setattr(owner, attribute, value)
    run = trained(name, "interpreter", curves, mutation.optimizer)
    loss, state = run.distance(stored(name, curves))
    assert max(state.values()) > 3 * curves.STATE_TOLERANCE
    if fault in mutations.UNSEEN_BY_LOSSES:
        assert loss <= curves.TOLERANCE
    else:
        assert loss > 3 * curves.TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_without_a_fault_the_second_writing_agrees(
    name: str, curves: ModuleType, mutations: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what the faults show is the fault."""
    mutation = mutations.FAITHFUL[name]
    for owner, attribute, value in mutation.patches:
        monkeypatch.setattr(owner, attribute, value)
    run = trained(name, "interpreter", curves, mutation.optimizer)
    loss, state = run.distance(stored(name, curves))
    assert loss <= curves.TOLERANCE
    assert max(state.values()) <= curves.STATE_TOLERANCE
