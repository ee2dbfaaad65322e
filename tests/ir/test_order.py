"""Orders by NumPy's sorts against the plain stable one: every dtype, ties, NaN, parts of orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ir.errors import OpError
from ir.make import argsort, input_node
from ir.ops import OPS
from ir.types import DTYPES, F32, TensorType, is_float, is_half

SHAPES = [((5, 7), 1), ((33, 300), 1), ((300, 5), 0), ((3, 40, 9), 1), ((2, 3000), 1), ((9,), 0)]


def values(dtype: Any, shape: tuple[int, ...], kind: str) -> np.ndarray:
    rng = np.random.default_rng(len(shape))
    x = rng.standard_normal(shape) * 100
    if kind != "distinct":
        x = np.round(x / 40)
    if kind == "wide" and dtype.itemsize == 8:
        x *= 2.0**54
    x = (np.abs(x) if dtype.kind in "ub" else x).astype(dtype)
    if is_float(dtype) and kind != "distinct":
        for number in (np.nan, -np.nan, -0.0, np.inf, -np.inf):
            x[rng.random(shape) < 0.05] = number
    return x


def plain(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """The stable order by places: NaN is the largest, equal ones keep their order."""
    wide = x.astype(np.float32) if is_half(x.dtype) else x
    places = OPS["rank"].evaluate(wide, axis=axis, descending=descending)
    return np.argsort(places, axis=axis)


@pytest.mark.parametrize("kind", ["distinct", "ties", "wide"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_part_of_an_order_is_that_of_the_plain_one(dtype: Any, kind: str) -> None:
    for shape, axis in SHAPES:
        x, n = values(dtype, shape, kind), shape[axis]
        for descending in (False, True):
            wanted = plain(x, axis, descending)
            for start, stop in ((0, n), (0, 1), (0, 3), (n // 2, n // 2 + 1), (n // 3, n // 2)):
                found = OPS["argsort"].evaluate(
                    x, axis=axis, descending=descending, start=start, stop=stop
                )
                part = np.take(wanted, range(start, stop), axis)
                assert found.dtype == np.int64
                assert np.array_equal(found, part), (shape, descending, start, stop)


def test_all_equal_and_nothing() -> None:
    run = OPS["argsort"].evaluate
    same = np.zeros((3, 2000), np.float32)
    for start, stop in ((0, 2000), (0, 3), (700, 702)):
        found = run(same, axis=1, descending=True, start=start, stop=stop)
        assert np.array_equal(found, np.broadcast_to(np.arange(start, stop), found.shape))
    assert run(np.zeros((0, 4)), axis=1, descending=False, start=0, stop=2).shape == (0, 2)
    assert run(np.zeros((4, 0)), axis=1, descending=False, start=0, stop=0).shape == (4, 0)


@pytest.mark.parametrize(("axis", "start", "stop"), [(2, 0, 3), (1, 0, 9), (1, 3, 2), (1, -1, 2)])
def test_places_lie_within_the_axis(axis: int, start: int, stop: int) -> None:
    x = input_node(TensorType(F32, (2, 8)), "x")
    with pytest.raises(OpError):
        argsort(x, axis, False, start, stop)
