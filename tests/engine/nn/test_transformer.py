"""Sequences in, a transformer's out: what masks hide, what is the same without them."""

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

X = np.random.default_rng(0).standard_normal((5, 3, 8)).astype(np.float32)


def test_attention_is_a_weighted_mean() -> None:
    q, k, v = (np.random.default_rng(at).standard_normal((2, 4, 3)) for at in range(3))
    scores = q @ k.swapaxes(1, 2) / np.sqrt(3.0)
    scores = np.where(np.tri(4, dtype=bool), scores, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)

    def causal(*parts: engine.Tensor) -> engine.Tensor:
        return F.scaled_dot_product_attention(*parts, is_causal=True)

    for run in (causal, engine.jit(causal)):
        out = run(*(engine.tensor(x) for x in (q, k, v)))
        np.testing.assert_allclose(out.numpy(), weights @ v, rtol=1e-6, atol=1e-9)


def test_what_a_mask_hides_does_not_matter() -> None:
    engine.manual_seed(0)
    layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    memory = engine.tensor(X)
    changed = X.copy()
    changed[3:] += 1.0
    first, second = (layer(engine.tensor(x), memory, tgt_mask=mask) for x in (X, changed))
    np.testing.assert_allclose(first[:3].detach().numpy(), second[:3].detach().numpy(), atol=1e-6)
    assert abs((first - second)[3:].detach().numpy()).max() > 0.1


def test_a_whole_transformer_eager_and_compiled() -> None:
    engine.manual_seed(0)
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0).eval()
    source, target = engine.tensor(X), engine.tensor(X[:2])
    out = model(source, target).detach().numpy()
    again = engine.jit(lambda a, b: model(a, b).detach())(source, target).numpy()
    np.testing.assert_allclose(out, again, rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError):
        model(source, target[:, :2])
