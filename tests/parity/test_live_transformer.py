"""PyTorch's transformer weights in, equal outputs and gradients from the engine's layers out."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]
torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((3, 5, 8)).astype(np.float32)
CAUSAL = np.triu(np.ones((5, 5), bool), 1)
PADDING = np.arange(5) >= np.array([[5], [4], [2]])


def loaded(ours: Any, theirs: Any) -> None:
    """The same names and the same values in both."""
    state = {
        name: engine.tensor(value.detach().numpy()) for name, value in theirs.named_parameters()
    }
    assert list(state) == [name for name, _ in ours.named_parameters()]
    ours.load_state_dict(state)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_encoder(norm_first: bool, masked: bool, compiled: bool) -> None:
    options = {
        "dim_feedforward": 16,
        "dropout": 0.0,
        "activation": "gelu",
        "batch_first": True,
        "norm_first": norm_first,
    }
    models = []
    for module in (nn, torch.nn):
        layer = module.TransformerEncoderLayer(8, 2, **options)
        models.append(module.TransformerEncoder(layer, 2, module.LayerNorm(8)))
    ours, theirs = models
    loaded(ours, theirs)

    def step(x: Any) -> Any:
        ours.zero_grad()
        masks = (engine.tensor(CAUSAL), engine.tensor(PADDING)) if masked else ()
        out = ours(x, *masks)
        (out * out * out).sum().backward()
        return out, [p.grad for p in ours.parameters()]

    out, grads = (engine.jit(step) if compiled else step)(engine.tensor(X))
    masks = (torch.tensor(CAUSAL), torch.tensor(PADDING)) if masked else ()
    wanted = theirs(torch.tensor(X), *masks)
    (wanted * wanted * wanted).sum().backward()
    np.testing.assert_allclose(out.detach().numpy(), wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
    for mine, other in zip(grads, theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("average", [False, True])
def test_weights_of_attention(average: bool) -> None:
    ours, theirs = nn.MultiheadAttention(8, 4), torch.nn.MultiheadAttention(8, 4)
    loaded(ours, theirs)
    a, b = engine.tensor(X), torch.tensor(X)
    found = ours(a, a, a, average_attn_weights=average)
    wanted = theirs(b, b, b, average_attn_weights=average)
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            mine.detach().numpy(), other.detach().numpy(), rtol=1e-4, atol=1e-6
        )
