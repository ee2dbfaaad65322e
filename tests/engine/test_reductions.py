"""Tensors in, sums, extrema and truths along axes out, against NumPy."""

import numpy as np
import pytest

import engine as torch

X = np.random.default_rng(0).normal(size=(3, 4, 2))
AXES = (None, 0, -1, (0, 2))


@pytest.mark.parametrize("dim", AXES)
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "any", "all"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reduction(name: str, dim: int | tuple[int, ...] | None, keepdim: bool) -> None:
    x = X > 0 if name in {"any", "all"} else X
    found = getattr(torch, name)(torch.tensor(x), dim, keepdim).numpy()
    wanted = getattr(np, name)(x, axis=dim, keepdims=keepdim)
    np.testing.assert_allclose(found, wanted)
    assert found.shape == wanted.shape


def test_integers_sum_as_int64() -> None:
    x = torch.tensor(np.array([100, 100], np.int8))
    assert (torch.sum(x).item(), torch.sum(x).dtype) == (200, np.int64)
    assert torch.prod(x).item() == 10000
    assert torch.sum(torch.tensor([True, True])).item() == 2


@pytest.mark.parametrize("values", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0]])
def test_the_gradient_of_a_product_survives_zeros(values: list[float]) -> None:
    x = torch.tensor(values, requires_grad=True)
    torch.prod(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [float(np.prod(np.delete(values, i))) for i in range(3)]


def test_equal_extrema_share_the_gradient() -> None:
    x = torch.tensor([1.0, 3.0, 3.0], requires_grad=True)
    torch.amax(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0.5, 0.5]


def test_an_extremum_along_a_dim_gives_its_place() -> None:
    found = torch.max(torch.tensor([[1.0, 3.0, 3.0]]), 1)
    assert (found.values.tolist(), found.indices.tolist()) == ([3], [1])


def test_nothing_to_reduce() -> None:
    empty = torch.zeros(0, 3)
    assert torch.sum(empty, 0).tolist() == [0, 0, 0]
    assert torch.prod(empty).item() == 1
    with pytest.raises(RuntimeError):
        torch.amax(empty)
    with pytest.raises(IndexError):
        torch.argmax(empty, 0)
    with pytest.raises(RuntimeError):
        torch.sum(torch.zeros(2, 2), (0, 0))


def test_logsumexp_of_infinities() -> None:
    x = torch.tensor([[-np.inf, -np.inf], [np.inf, 0.0], [1000.0, 1000.0]])
    found = torch.logsumexp(x, 1).numpy()
    np.testing.assert_allclose(found, [-np.inf, np.inf, 1000 + np.log(2)], rtol=1e-6)


def test_compiled_and_eager_agree() -> None:
    def step(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (*torch.max(x, 1), torch.logsumexp(x, 0), torch.softmax(x, 1), *torch.aminmax(x))

    for a, b in zip(step(torch.tensor(X)), torch.jit(step)(torch.tensor(X)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
