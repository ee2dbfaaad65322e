"""Tensors in, what depends on the order of elements out, against NumPy."""

import numpy as np
import pytest

import engine as torch

X = np.random.default_rng(0).normal(size=(3, 7))
PARTS = np.array([0.0, 0.2, 0.55, 1.0])


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_quantile(how: str, dim: int | None) -> None:
    found = torch.quantile(torch.tensor(X), torch.tensor(PARTS), dim, interpolation=how)
    np.testing.assert_allclose(found.numpy(), np.quantile(X, PARTS, dim, method=how), atol=1e-12)


def test_quantile_passes_a_gradient_to_its_part() -> None:
    x, q = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([0.25, 0.75], requires_grad=True)
    torch.quantile(x, q).sum().backward()
    assert q.grad is not None
    assert q.grad.tolist() == [2.0, 8.0]


def test_nan_wins_unless_it_is_skipped() -> None:
    x = torch.tensor([[3.0, np.nan, 1.0, 2.0]])
    assert np.isnan(torch.median(x).item())
    assert torch.nanmedian(x).item() == 2
    assert torch.nanquantile(x, 0.5).item() == 2
    assert torch.median(x, 1).indices.item() == 1


@pytest.mark.parametrize("dim", [0, 1])
def test_median(dim: int) -> None:
    found = torch.median(torch.tensor(X), dim)
    np.testing.assert_allclose(found.values.numpy(), np.median(X, dim))
    at = np.expand_dims(found.indices.numpy(), dim)
    np.testing.assert_array_equal(np.take_along_axis(X, at, dim).squeeze(dim), found.values.numpy())


def test_mode_is_the_smallest_of_the_most_frequent() -> None:
    found = torch.mode(torch.tensor([[3, 1, 3, 1, 2], [5, 4, 3, 2, 1]]))
    assert found.values.tolist() == [1, 1]
    assert found.indices.tolist() == [3, 4]


def test_distinct_values() -> None:
    x = torch.tensor([2, 2, 1, 2])
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2], [1, 1, 0, 1], [1, 3])
    assert torch.unique_consecutive(x).tolist() == [2, 1, 2]
    with pytest.raises(NotImplementedError):
        torch.jit(torch.unique)(x)


def test_isin() -> None:
    found = torch.isin(torch.tensor([1, 2, 3]), torch.tensor([3, 1]))
    assert found.tolist() == [True, False, True]


def test_compiled_and_eager_agree() -> None:
    def step(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (*torch.median(x, 1), *torch.mode(x, 0), torch.quantile(x, 0.3, 1))

    for a, b in zip(step(torch.tensor(X)), torch.jit(step)(torch.tensor(X)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
