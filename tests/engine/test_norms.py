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


MODES = ("", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


@pytest.mark.parametrize("mode", MODES)
def test_many_distances_come_from_products(mode: str) -> None:
    how = {"compute_mode": mode} if mode else {}
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((2, n, 3)).astype(np.float32) for n in (30, 7))
    x[0, 4] = y[0, 2] = [1000.25, -2000.5, 3000.75]  # no distance, but of large squares
    x[1, 1, 0], y[1, 3, 2] = np.nan, np.inf

    def step(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        far = torch.cdist(a, b, **how)
        return far, *torch.autograd.grad(far[0].sum(), [a, b])

    wanted = np.linalg.norm(x[:, :, None].astype(float) - y[:, None], axis=-1)
    for run in (step, torch.jit(step)):
        far, da, db = (found.detach().numpy() for found in run(torch.tensor(x), torch.tensor(y)))
        assert far[0, 4, 2] == pytest.approx(0, abs=3)
        near = np.ones_like(far, bool)
        near[0, 4, 2], near[1, 1], near[1, :, 3] = False, False, False
        np.testing.assert_allclose(far[near], wanted[near], rtol=2e-5, atol=2e-5)
        assert np.isnan(far[1, 1]).all()
        apart = x[0, :, None].astype(float) - y[0]
        slope = apart / np.where(wanted[0] == 0, 1, wanted[0])[..., None]
        others = np.arange(30) != 4
        np.testing.assert_allclose(da[0][others], slope.sum(1)[others], rtol=1e-3, atol=2e-3)
        assert np.isfinite(db[0]).all()


def test_distances_of_equal_rows_have_no_gradient() -> None:
    x = torch.zeros(30, 4).requires_grad_()
    torch.cdist(x, x).sum().backward()
    assert x.grad is not None
    assert (x.grad == 0).all()
    assert torch.cdist(torch.zeros(30, 0), torch.zeros(2, 0)).tolist() == [[0, 0]] * 30


def test_a_growing_batch_of_distances() -> None:
    y = torch.tensor(np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32))
    compiled = torch.jit(lambda x: torch.cdist(x, y))
    for rows in (30, 40, 50, 3):
        x = torch.tensor(np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32))
        wanted = np.linalg.norm(x.numpy()[:, None] - y.numpy(), axis=-1)
        np.testing.assert_allclose(compiled(x).numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_misuse() -> None:
    with pytest.raises(RuntimeError, match="compute_mode"):
        torch.cdist(torch.zeros(2, 3), torch.zeros(2, 3), compute_mode="other")
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
