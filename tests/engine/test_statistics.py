"""Samples in, what describes their spread out, against NumPy."""

import numpy as np
import pytest

import engine as torch

X = np.random.default_rng(0).normal(size=(4, 6))


@pytest.mark.parametrize("dim", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("correction", [0, 1, 2])
def test_variance(dim: int | tuple[int, ...] | None, correction: int) -> None:
    x = torch.tensor(X)
    wanted = X.var(axis=dim, ddof=correction)
    np.testing.assert_allclose(torch.var(x, dim, correction=correction).numpy(), wanted)
    np.testing.assert_allclose(torch.std(x, dim, correction=correction).numpy(), wanted**0.5)
    spread, middle = torch.var_mean(x, dim, correction=correction, keepdim=True)
    np.testing.assert_allclose(middle.numpy(), X.mean(axis=dim, keepdims=True))
    assert spread.shape == middle.shape


def test_deviation_of_equal_values_has_no_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    torch.std(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]


def test_covariance() -> None:
    np.testing.assert_allclose(torch.cov(torch.tensor(X)).numpy(), np.cov(X))
    counts, weights = np.arange(6) + 1, np.linspace(0.1, 1, 6)
    found = torch.cov(
        torch.tensor(X), fweights=torch.tensor(counts), aweights=torch.tensor(weights)
    )
    np.testing.assert_allclose(found.numpy(), np.cov(X, fweights=counts, aweights=weights))
    np.testing.assert_allclose(torch.corrcoef(torch.tensor(X)).numpy(), np.corrcoef(X))


def test_covariance_of_one_variable_has_no_dimensions() -> None:
    assert torch.cov(torch.tensor(X[0])).shape == ()
    assert torch.corrcoef(torch.tensor(X[0])).shape == ()


@pytest.mark.parametrize("ends", [(0.0, 2.0), (-2.0, 0.0), (-1.0, 1.0), None])
def test_histogram(ends: tuple[float, float] | None) -> None:
    wanted, edges = np.histogram(X, 5, range=ends)
    found = torch.histogram(torch.tensor(X), 5, range=ends)
    np.testing.assert_array_equal(found.hist.numpy(), wanted)
    np.testing.assert_allclose(found.bin_edges.numpy(), edges, atol=1e-12)


def test_histograms_of_one_value() -> None:
    """NumPy (and ``histogram``) widen the range by one half each way, ``histc`` by one."""
    found = torch.histogram(torch.full((3,), 2.0), 2)
    np.testing.assert_allclose(found.bin_edges.numpy(), [1.5, 2.0, 2.5])
    assert torch.histc(torch.full((3,), 2.0), 2).tolist() == [0, 3]


def test_bincount() -> None:
    numbers = np.array([1, 4, 1, 0])
    found = torch.bincount(torch.tensor(numbers), minlength=7)
    np.testing.assert_array_equal(found.numpy(), np.bincount(numbers, minlength=7))
    with pytest.raises(RuntimeError):
        torch.bincount(torch.tensor([-1]))
    with pytest.raises(NotImplementedError):
        torch.jit(torch.bincount)(torch.tensor(numbers))


def test_compiled_and_eager_agree() -> None:
    def step(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.std(x, 1), torch.cov(x), torch.histc(x, 4), torch.corrcoef(x)

    for a, b in zip(step(torch.tensor(X)), torch.jit(step)(torch.tensor(X)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
