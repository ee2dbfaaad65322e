"""Tensors in, running results out, against NumPy."""

import numpy as np
import pytest

import engine as torch

X = np.random.default_rng(0).normal(size=(3, 7))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_results(dim: int) -> None:
    x = torch.tensor(X)
    np.testing.assert_allclose(torch.cumprod(x, dim).numpy(), np.cumprod(X, dim))
    np.testing.assert_allclose(
        torch.logcumsumexp(x, dim).numpy(), np.logaddexp.accumulate(X, dim), atol=1e-12
    )
    high, low = torch.cummax(x, dim), torch.cummin(x, dim)
    np.testing.assert_array_equal(high.values.numpy(), np.maximum.accumulate(X, dim))
    np.testing.assert_array_equal(low.values.numpy(), np.minimum.accumulate(X, dim))
    found = np.take_along_axis(X, high.indices.numpy(), dim)
    np.testing.assert_array_equal(found, high.values.numpy())


def test_the_last_of_equal_values_is_told() -> None:
    assert torch.cummax(torch.tensor([1, 3, 3, 2]), 0).indices.tolist() == [0, 1, 2, 2]


def test_nan_stays() -> None:
    found = torch.cummax(torch.tensor([1.0, np.nan, 2.0]), 0).values.numpy()
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_differences(n: int) -> None:
    np.testing.assert_allclose(torch.diff(torch.tensor(X), n).numpy(), np.diff(X, n), atol=1e-12)
    ends = torch.tensor(X[:, :2])
    if n:
        found = torch.diff(torch.tensor(X), n, prepend=ends).numpy()
        np.testing.assert_allclose(found, np.diff(X, n, prepend=X[:, :2]), atol=1e-12)


def test_areas() -> None:
    places = np.sort(np.random.default_rng(1).normal(size=7))
    y, x = torch.tensor(X), torch.tensor(places)
    np.testing.assert_allclose(torch.trapezoid(y, x).numpy(), np.trapezoid(X, places))
    np.testing.assert_allclose(torch.trapezoid(y, dx=0.5).numpy(), np.trapezoid(X, dx=0.5))
    steps = torch.cumulative_trapezoid(y, x).numpy()
    np.testing.assert_allclose(steps[:, -1], np.trapezoid(X, places))


def test_a_product_written_in_place_has_its_gradient() -> None:
    x = torch.tensor([2.0, 3.0, 4.0], requires_grad=True)
    y = x.clone()
    y.cumprod_(0)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1 + 3 + 12, 2 + 8, 6]


def test_compiled_and_eager_agree() -> None:
    def step(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (*torch.cummin(x, 1), torch.cumprod(x, 0), torch.logcumsumexp(x, 1), torch.diff(x))

    for a, b in zip(step(torch.tensor(X)), torch.jit(step)(torch.tensor(X)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
