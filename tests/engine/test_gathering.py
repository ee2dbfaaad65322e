"""Positions: elements taken and added, against NumPy, with gradients, eager and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import engine

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5, 6)).astype(np.float32)
ROWS = np.array([3, 0, 0, 2])
COLUMNS = np.array([1, -1, 4, 0])

READS: dict[str, Any] = {
    "one array": lambda x, i, j: x[i],
    "a later axis": lambda x, i, j: x[:, i],
    "two arrays": lambda x, i, j: x[i, j],
    "arrays apart": lambda x, i, j: x[i, :, j],
    "with a slice": lambda x, i, j: x[1:, j],
    "with an int": lambda x, i, j: x[2, :, i],
    "with a new axis": lambda x, i, j: x[:, None, i],
    "after an ellipsis": lambda x, i, j: x[..., i],
}


def compiled(function: Any) -> Any:
    return engine.jit(function, backend="interpreter")


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_indexing_by_arrays_is_numpys(read: Any) -> None:
    wanted = read(X, ROWS, COLUMNS)
    i, j = engine.tensor(ROWS), engine.tensor(COLUMNS)
    assert np.array_equal(read(engine.tensor(X), i, j).numpy(), wanted)
    assert np.array_equal(compiled(read)(engine.tensor(X), i, j).numpy(), wanted)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_gradient_counts_how_often_an_element_was_read(read: Any) -> None:
    x = engine.tensor(X).requires_grad_()
    read(x, engine.tensor(ROWS), engine.tensor(COLUMNS)).sum().backward()
    wanted = np.zeros_like(X)
    numbers = read(np.arange(X.size).reshape(X.shape), ROWS, COLUMNS)
    np.add.at(wanted.reshape(-1), numbers.reshape(-1), 1)
    assert np.array_equal(x.grad.numpy(), wanted)


def test_a_mask_selects_with_a_gradient() -> None:
    x = engine.tensor(X).requires_grad_()
    picked = x[x > 0.5]
    assert np.array_equal(picked.detach().numpy(), X[X > 0.5])
    picked.sum().backward()
    assert np.array_equal(x.grad.numpy(), (X > 0.5).astype(np.float32))
    with pytest.raises(RuntimeError, match="mask inside jit"):
        compiled(lambda y: y[y > 0])(engine.tensor(X))


def test_gather_and_scatter_add_are_each_others_reverse() -> None:
    index = RNG.integers(0, 5, (4, 3, 6))
    wanted = np.take_along_axis(X, index, 1)
    x = engine.tensor(X).requires_grad_()
    out = x.gather(1, engine.tensor(index))
    assert np.array_equal(out.detach().numpy(), wanted)
    weight = engine.tensor(RNG.standard_normal(wanted.shape).astype(np.float32))
    (out * weight).sum().backward()
    zeros = engine.zeros(4, 5, 6)
    assert np.allclose(x.grad.numpy(), zeros.scatter_add(1, engine.tensor(index), weight).numpy())


def test_smaller_indices_and_broadcast_ones() -> None:
    index = RNG.integers(0, 4, (2, 3, 2))
    wanted = np.take_along_axis(X[:, :3, :2], index, 0)
    assert np.array_equal(engine.gather(engine.tensor(X), 0, engine.tensor(index)), wanted)
    one = RNG.integers(0, 5, (1, 2, 6))
    found = engine.take_along_dim(engine.tensor(X), engine.tensor(one), 1)
    assert np.array_equal(found, np.take_along_axis(X, one, 1))


def test_index_select_index_add_and_cumsum() -> None:
    index = engine.tensor(np.array([1, 1, 3]))
    x = engine.tensor(X)
    assert np.array_equal(engine.index_select(x, 0, index).numpy(), X[[1, 1, 3]])
    wanted = X.copy()
    np.add.at(wanted, [1, 1, 3], 2 * X[:3])
    assert np.allclose(engine.index_add(x, 0, index, x[:3], alpha=2).numpy(), wanted)
    assert np.allclose(engine.cumsum(x, -1).numpy(), np.cumsum(X, -1))
    assert engine.cumsum(engine.tensor([True, True]), 0).tolist() == [1, 2]


def test_positions_outside_are_refused_before_anything_runs() -> None:
    x = engine.tensor(X)
    with pytest.raises(IndexError, match="index 4 is out of bounds for size 4"):
        x[engine.tensor([0, 4])]
    with pytest.raises(IndexError, match="gather: index -1"):
        x.gather(0, engine.tensor(-np.ones((1, 5, 6), np.int64)))
    step = compiled(lambda y, i: y[i])
    assert step(x, engine.tensor([0, -4])).shape == (2, 5, 6)
    with pytest.raises(IndexError, match=r"test_gathering.py(.|\n)*index 9"):
        step(x, engine.tensor([0, 9]))


def test_native_kernels_take_and_put() -> None:
    @engine.jit
    def loss(x: Any, i: Any) -> Any:
        return engine.value_and_grad(lambda w: (w[i].tanh() * w.cumsum(1)[i]).sum())(x)

    x, i = engine.tensor(X[0]), engine.tensor(ROWS)
    value, slope = loss(x, i)
    again, wanted = engine.value_and_grad(lambda w: (w[i].tanh() * w.cumsum(1)[i]).sum())(x)
    assert np.allclose(value.item(), again.item(), rtol=1e-5)
    assert np.allclose(slope.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6)
