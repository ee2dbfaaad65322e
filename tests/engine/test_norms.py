"""Tensors in, lengths and distances out, against NumPy."""

import math

import numpy as np
import pytest

import engine as torch

X = np.random.default_rng(0).normal(size=(4, 6))
Y = np.random.default_rng(1).normal(size=(3, 6))
ORDERS = (0, 0.5, 1, 2, 3, math.inf, -math.inf, -1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dim", [0, 1])
def test_norm(order: float, dim: int) -> None:
    found = torch.norm(torch.tensor(X), order, dim)
    np.testing.assert_allclose(found.numpy(), np.linalg.norm(X, order, dim))
    kept = torch.norm(torch.tensor(X), order, dim, keepdim=True)
    np.testing.assert_allclose(kept.numpy(), np.linalg.norm(X, order, dim, keepdims=True))


@pytest.mark.parametrize("order", [0, 1, 2, 3, math.inf])
def test_distances(order: float) -> None:
    wanted = np.linalg.norm(X[:, None] - Y[None], order, -1)
    np.testing.assert_allclose(
        torch.cdist(torch.tensor(X), torch.tensor(Y), order).numpy(), wanted, rtol=1e-12
    )
    found = torch.dist(torch.tensor(X[0]), torch.tensor(Y[0]), order)
    np.testing.assert_allclose(found.item(), wanted[0, 0])


@pytest.mark.parametrize("order", [0, 1, 2, 3, math.inf])
def test_the_gradient_at_zero_is_finite(order: float) -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    torch.norm(x, order).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()


def test_renorm_scales_long_slices() -> None:
    found = torch.renorm(torch.tensor(X), 2, 0, 1.0).numpy()
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.where(lengths > 1, X / lengths, X), rtol=1e-6)


def test_misuse() -> None:
    with pytest.raises(RuntimeError):
        torch.norm(torch.tensor(X), "other")
    with pytest.raises(RuntimeError):
        torch.cdist(torch.zeros(2, 3), torch.zeros(2, 4))


def test_compiled_and_eager_agree() -> None:
    def step(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.norm(x, 3, 1), torch.cdist(x, y), torch.renorm(x, 1, 1, 0.5)

    args = torch.tensor(X), torch.tensor(Y)
    for a, b in zip(step(*args), torch.jit(step)(*args), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
