"""Activations, losses and normalisations given plain arrays in, NumPy's own arithmetic out."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32) * 3
Y = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "meaning"),
    [
        (nn.ELU(0.5), np.where(X > 0, X, 0.5 * np.expm1(X))),
        (nn.LeakyReLU(0.1), np.where(X > 0, X, 0.1 * X)),
        (nn.PReLU(init=0.3), np.where(X > 0, X, 0.3 * X)),
        (nn.ReLU6(), np.clip(X, 0, 6)),
        (nn.Hardsigmoid(), np.clip(X / 6 + 0.5, 0, 1)),
        (nn.Softplus(), np.logaddexp(0, X)),
        (nn.LogSigmoid(), -np.logaddexp(0, -X)),
        (nn.SiLU(), X / (1 + np.exp(-X))),
        (nn.Mish(), X * np.tanh(np.logaddexp(0, X))),
        (nn.Hardshrink(), np.where(np.abs(X) > 0.5, X, 0)),
        (nn.Softshrink(), np.sign(X) * np.maximum(np.abs(X) - 0.5, 0)),
        (nn.GLU(), X[:, :3] / (1 + np.exp(-X[:, 3:]))),
        (nn.LayerNorm(6, eps=0.0), (X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True)),
        (nn.RMSNorm(6, eps=0.0), X / np.sqrt((X * X).mean(1, keepdims=True))),
    ],
    ids=lambda value: value._get_name() if isinstance(value, nn.Module) else "",
)
def test_layers(layer: Any, meaning: Any) -> None:
    x = engine.tensor(X)
    for call in (layer, engine.jit(layer.forward)):
        np.testing.assert_allclose(call(x).detach().numpy(), meaning, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "meaning"),
    [
        (nn.L1Loss(), np.abs(X - Y).mean()),
        (nn.SmoothL1Loss(beta=0.5), np.where(abs(X - Y) < 0.5, (X - Y) ** 2, abs(X - Y) - 0.25)),
        (nn.HuberLoss(), np.where(abs(X - Y) < 1, (X - Y) ** 2 / 2, abs(X - Y) - 0.5)),
        (nn.KLDivLoss(log_target=True), np.exp(Y) * (Y - X)),
        (nn.BCEWithLogitsLoss(), np.logaddexp(0, X) - X * Y),
        (nn.SoftMarginLoss(), np.logaddexp(0, -X * Y)),
    ],
    ids=lambda value: value._get_name() if isinstance(value, nn.Module) else "",
)
def test_losses(loss: Any, meaning: Any) -> None:
    found = float(loss(engine.tensor(X), engine.tensor(Y)))
    assert found == pytest.approx(float(np.mean(meaning)), rel=1e-4)


def test_no_gradient_is_nan_at_the_edges() -> None:
    x = engine.zeros(2, 3).requires_grad_()
    (F.pairwise_distance(x, x * 1.0, eps=0.0).sum() + F.normalize(x).sum()).backward()
    p = engine.tensor([0.0, 1.0], requires_grad=True)
    F.binary_cross_entropy(p, engine.tensor([0.0, 1.0])).backward()
    big = engine.tensor([-1e4, 1e4], requires_grad=True)
    (F.elu(big) + F.softplus(big) + F.logsigmoid(big) + F.celu(big)).sum().backward()
    for tensor in (x, p, big):
        assert np.isfinite(tensor.grad.numpy()).all()


def test_batch_norm_takes_its_ranks_only() -> None:
    assert nn.BatchNorm1d(3)(engine.ones(4, 3)).shape == (4, 3)
    assert nn.BatchNorm3d(3)(engine.ones(2, 3, 2, 2, 2)).shape == (2, 3, 2, 2, 2)
    with pytest.raises(ValueError, match=r"BatchNorm1d\(3\) got input"):
        nn.BatchNorm1d(3)(engine.ones(2, 3, 4, 4))


def test_what_does_not_fit() -> None:
    x = engine.ones(2, 5)
    with pytest.raises(ValueError, match="must be even"):
        F.glu(x)
    with pytest.raises(ValueError, match=r"layer_norm\(\[4\]\)"):
        nn.LayerNorm(4)(x)
    with pytest.raises(ValueError, match="must have one shape"):
        F.binary_cross_entropy(x, engine.ones(5))
    with pytest.raises(ValueError, match="reduction must be"):
        F.l1_loss(x, x, reduction="average")
