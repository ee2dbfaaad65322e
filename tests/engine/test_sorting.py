"""Sorting by counting: values, positions and gradients, against NumPy, eager and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import engine

RNG = np.random.default_rng(0)
X = RNG.integers(-4, 5, (3, 8)).astype(np.float32)


def both(function: Any) -> list[Any]:
    return [function, engine.jit(function)]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, -1])
def test_sort_is_stable_and_says_where_values_came_from(dim: int, descending: bool) -> None:
    wanted = np.argsort(-X if descending else X, axis=dim, kind="stable")
    for run in both(lambda x: tuple(x.sort(dim, descending=descending))):
        values, order = run(engine.tensor(X))
        assert np.array_equal(order.numpy(), wanted)
        assert np.array_equal(values.numpy(), np.take_along_axis(X, wanted, dim))


def test_nan_is_the_largest() -> None:
    x = np.array([2.0, np.nan, -1.0, np.inf, np.nan, 0.0], np.float32)
    for run in both(lambda v: (v.argsort(), v.argsort(descending=True))):
        up, down = run(engine.tensor(x))
        assert up.tolist() == [2, 5, 0, 3, 1, 4]
        assert down.tolist() == [1, 4, 3, 0, 5, 2]


def test_topk_with_gradient() -> None:
    x = engine.tensor(X).requires_grad_()
    values, order = x.topk(3)
    wanted = np.argsort(-X, axis=-1, kind="stable")[:, :3]
    assert np.array_equal(order.numpy(), wanted)
    (values * engine.tensor([1.0, 2.0, 3.0])).sum().backward()
    slope = np.zeros_like(X)
    np.put_along_axis(slope, wanted, np.broadcast_to([1.0, 2.0, 3.0], (3, 3)), -1)
    assert np.array_equal(x.grad.numpy(), slope)
    with pytest.raises(RuntimeError, match="holds 8 elements"):
        x.topk(9)


def test_kthvalue_msort_and_scalars() -> None:
    x = engine.tensor(X)
    assert np.array_equal(x.kthvalue(2).values.numpy(), np.sort(X, -1)[:, 1])
    assert np.array_equal(engine.msort(x).numpy(), np.sort(X, 0))
    value, at = engine.sort(engine.tensor(3.0))
    assert (value.item(), at.item()) == (3.0, 0)


@pytest.mark.parametrize("right", [False, True])
def test_searchsorted_counts_what_is_smaller(right: bool) -> None:
    rows = np.sort(X[0])
    values = np.array([[-9.0, 0.0], [1.0, 9.0]], np.float32)
    side = "right" if right else "left"
    wanted = np.searchsorted(rows, values, side=side)
    found = engine.searchsorted(engine.tensor(rows), engine.tensor(values), right=right)
    assert np.array_equal(found.numpy(), wanted)
    batch = engine.searchsorted(engine.tensor(np.sort(X)), engine.tensor(X), right=right)
    assert batch.tolist() == [np.searchsorted(np.sort(r), r, side=side).tolist() for r in X]
    assert engine.bucketize(engine.tensor(values), engine.tensor(rows)).shape == (2, 2)


@pytest.mark.parametrize("dim", [0, 1])
def test_long_rows_of_a_growing_batch(dim: int) -> None:
    def step(x: Any) -> tuple[Any, ...]:
        v = x.detach().requires_grad_()
        up, best = v.sort(dim), v.topk(3, dim)
        third, middle = v.kthvalue(3, dim), v.median(dim)
        weights = engine.tensor([3.0, 2.0, 1.0]).reshape(*((-1, 1) if dim == 0 else (1, -1)))
        total = (up[0] * up[0]).sum() + (best[0] * weights).sum() + (third[0] - middle[0]).sum()
        return (*up, *best, *third, *middle, *engine.autograd.grad(total, [v]))

    compiled = engine.jit(step)
    for rows in (40, 50, 60, 45):
        x = np.round(RNG.standard_normal((rows, 80)) * 9).astype(np.float32)
        x = np.ascontiguousarray(x.T) if dim == 0 else x
        x[3, 5] = np.nan
        for found, wanted in zip(compiled(engine.tensor(x)), step(engine.tensor(x)), strict=True):
            assert np.array_equal(found.detach().numpy(), wanted.detach().numpy(), equal_nan=True)
        order = np.argsort(x, dim, kind="stable")
        assert np.array_equal(compiled(engine.tensor(x))[1].numpy(), order)


def test_long_rows_inside_a_loop() -> None:
    def step(rows: Any) -> Any:
        def turn(carry: Any, row: Any) -> tuple[Any, Any]:
            return carry + row.sort(1)[0], row.argsort(1)

        return engine.scan(turn, engine.zeros(60, 80), rows)

    x = engine.tensor(RNG.standard_normal((3, 60, 80)).astype(np.float32))
    for found, wanted in zip(engine.jit(step)(x), step(x), strict=True):
        assert np.array_equal(found.numpy(), wanted.numpy())
