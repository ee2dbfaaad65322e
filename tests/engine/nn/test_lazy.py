"""Layers without sizes in: what the first input, or a loaded state, makes of them."""

import copy

import numpy as np
import pytest

import engine as torch
from engine import nn

SHAPES = {1: (2, 4, 9), 2: (2, 4, 9, 9), 3: (2, 4, 5, 5, 5)}
CASES = [("LazyLinear", (6,), (3, 5))]
for rank, shape in SHAPES.items():
    CASES += [
        (f"LazyConv{rank}d", (6, 3), shape),
        (f"LazyConvTranspose{rank}d", (6, 3), shape),
        (f"LazyBatchNorm{rank}d", (), shape),
        (f"LazyInstanceNorm{rank}d", (), shape),
    ]


@pytest.mark.parametrize(("name", "args", "shape"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_first_call_makes_the_plain_layer(name, args, shape, compiled: bool) -> None:
    layer = getattr(nn, name)(*args)
    other, third = copy.deepcopy(layer), copy.deepcopy(layer)
    assert layer.has_uninitialized_params()
    parameters = list(layer.parameters())
    x = torch.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    run = torch.jit(layer) if compiled else layer
    first = run(x).detach().numpy().copy()
    assert type(layer) is getattr(nn, name.removeprefix("Lazy"))
    assert all(a is b for a, b in zip(parameters, layer.parameters(), strict=True))
    other.load_state_dict(layer.state_dict())
    layer.train(False)
    other.train(False)
    np.testing.assert_allclose(other(x).detach().numpy(), layer(x).detach().numpy(), rtol=1e-6)
    assert first.shape == layer(x).shape
    assert third.load_state_dict(copy.deepcopy(third).state_dict()).missing_keys == []


def test_misuse() -> None:
    layer = nn.LazyLinear(3)
    assert repr(layer.weight) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="uninitialized"):
        layer.weight.shape  # noqa: B018
    with pytest.raises(RuntimeError, match="uninitialized"):
        nn.Linear(3, 3).load_state_dict(layer.state_dict())
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.LazyConv1d(4, 3, groups=2)(torch.zeros(1, 3, 9))
    buffer = nn.UninitializedBuffer(dtype=torch.float64)
    buffer.materialize((2, 3))
    assert type(buffer) is torch.Tensor
    assert buffer.shape == (2, 3)
    assert buffer.dtype == torch.float64
