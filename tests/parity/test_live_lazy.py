"""Layers without sizes, PyTorch's and the engine's: keys, text and outputs are equal.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:Lazy modules")]

SHAPES = {1: (2, 4, 9), 2: (2, 4, 9, 9), 3: (2, 4, 5, 5, 5)}
CASES: list[Any] = [
    ("LazyLinear", (6,), {}, (3, 5)),
    ("LazyLinear", (6,), {"bias": False}, (2, 3, 5)),
]
for rank, shape in SHAPES.items():
    CASES += [
        (f"LazyConv{rank}d", (6, 3), {"groups": 2, "padding": 1}, shape),
        (f"LazyConv{rank}d", (6, 3), {"bias": False}, shape[1:]),
        (f"LazyConvTranspose{rank}d", (6, 3), {"stride": 2, "output_padding": 1}, shape),
        (f"LazyBatchNorm{rank}d", (), {}, shape),
        (f"LazyBatchNorm{rank}d", (), {"affine": False, "momentum": None}, shape),
        (f"LazyInstanceNorm{rank}d", (), {}, shape),
        (f"LazyInstanceNorm{rank}d", (), {"track_running_stats": False, "bias": False}, shape),
    ]


@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES, ids=str)
def test_lazy(name: str, args: Any, options: Any, shape: Any) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    theirs = getattr(torch.nn, name)(*args, **options)
    ours = getattr(nn, name)(*args, **options)
    fresh = getattr(nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs(torch.tensor(x))
    ours(engine.tensor(x))
    assert repr(ours) == repr(theirs)
    assert type(ours).__name__ == type(theirs).__name__
    state = {key: value.numpy().copy() for key, value in theirs.state_dict().items()}
    wanted = theirs(torch.tensor(x)).detach().numpy()
    for module in (ours, fresh):
        module.load_state_dict(state)
        found = module(engine.tensor(x)).detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
