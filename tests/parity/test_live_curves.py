"""The smooth networks trained by PyTorch now in, the stored curves and the engine's held to it out.
Asks PyTorch live: run by `make parity`. What the engine does from a stored curve, and that faults
are seen, is tested in `test_curves.py` without PyTorch."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
import engine.optim
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

NAMES = ["transformer", "residual", "lstm"]


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_curve_is_pytorchs(name: str, curves: ModuleType) -> None:
    arrays = dict(np.load(Path(__file__).parent / "data" / f"curve-{name}.npz"))
    exact = curves.reference(torch, curves.CURVES[name])
    np.testing.assert_allclose(arrays.pop("losses"), exact.losses, rtol=1e-9)
    assert set(arrays) == set(exact.state)
    for part, value in exact.state.items():
        np.testing.assert_allclose(arrays[part], value, 1e-6, 1e-6 * abs(value).max(), err_msg=part)


@pytest.mark.parametrize("mode", ["eager", "codegen"])
@pytest.mark.parametrize("name", NAMES)
def test_curve(name: str, mode: str, curves: ModuleType) -> None:
    curve = curves.CURVES[name]
    missing = [layer for layer in curve.needs if not hasattr(nn, layer)]
    if missing:
        pytest.skip(f"engine.nn has no {', '.join(missing)} yet")
    model = curve.build(nn)
    model.load_state_dict(curves.weights(model), strict=False)
    opt = curve.optimizer(engine.optim, model.parameters())
    prepared: Any = (lambda f: f) if mode == "eager" else engine.jit
    run = curves.train(model, opt, engine.tensor, F.cross_entropy, prepared)
    loss, state = run.distance(curves.reference(torch, curve))
    print(f"{name}, {mode}: losses within {loss:.1e}, state within {max(state.values()):.1e}")
    assert loss <= curves.TOLERANCE
    assert max(state.values()) <= curves.STATE_TOLERANCE
