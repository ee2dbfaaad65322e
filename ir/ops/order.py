"""Values in, the positions that put them in order out, by NumPy's sorts.

Elements become integers in the same order (keys). Where a key and its position fit into 64 bits
together, whole numbers are sorted: that is stable by itself, and NumPy sorts them in vectors.
Where only a few places of the order are wanted, all but a few candidates are left out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import broken
from ir.table import Array, Case, Op
from ir.types import I64, TensorType, is_half

BLOCK = 1 << 17  # elements at a time: few enough for the cache, and few waits for the GIL
SPARSE = 16  # a bound of the candidates pays from so many elements for each that is wanted
CHUNKS = 4  # for each that is wanted, whose smallest elements bound the candidates
SHORT = 1024  # elements that are sorted as soon as parted
LOW = 0xFFFFFFFF  # the position's half of a number
LARGEST = np.iinfo(np.int32).max


def _infer_argsort(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    (x,), axis, start, stop = types, attrs["axis"], attrs["start"], attrs["stop"]
    if not 0 <= axis < x.rank:
        raise broken(f"axis {axis} is no axis of {list(x.shape)}")
    size = x.shape[axis]
    if (start, stop) == (0, size):
        return x.with_dtype(I64)
    if not isinstance(stop, int) or not isinstance(size, int) or not 0 <= start <= stop <= size:
        raise broken(f"places {start}:{stop} do not lie within size {size}")
    return x.with_dtype(I64).with_shape((*x.shape[:axis], stop - start, *x.shape[axis + 1 :]))


def argsort(x: Array, axis: int, descending: bool, start: int, stop: int) -> Array:
    """The positions of what stands at ``start`` to ``stop`` in stable order along ``axis``.

    NaN counts as the largest, -0 as 0; equal elements keep their order, ``descending`` too.
    """
    rows = np.moveaxis(x, axis, -1)
    size, before = rows.shape[-1], rows.shape[:-1]
    out = np.empty((*before, stop - start), np.int64)
    if out.size:
        flat, places = rows.reshape(-1, size), out.reshape(-1, stop - start)
        step = max(1, BLOCK // size)
        for at in range(0, len(flat), step):
            keys = _keys(flat[at : at + step])
            keys = ~keys if descending else keys
            places[at : at + step] = _places(keys, start, stop)
    return np.moveaxis(out, -1, axis)


def _keys(x: Array) -> Array:
    """Int32 (or else int64) in the order of ``x``, equal where its elements are."""
    if x.dtype.kind == "f" or is_half(x.dtype):
        return _keys_of_floats(x.astype(np.float32) if is_half(x.dtype) else x)
    if x.dtype.kind == "b" or x.dtype.itemsize < 4 or x.dtype == np.int32:
        return x.astype(np.int32)
    wide = x.astype(np.int64)
    low = int(wide.min())
    return (wide - low).astype(np.int32) if int(wide.max()) - low <= LARGEST else wide


def _keys_of_floats(x: Array) -> Array:
    """Their bits; a negative number's are larger the smaller it is."""
    kind = np.dtype(f"i{x.dtype.itemsize}")
    keys: Array = (x + 0).view(kind)  # without -0
    keys ^= (keys >> (8 * kind.itemsize - 1)) & np.iinfo(kind).max
    np.putmask(keys, np.isnan(x), np.iinfo(kind).max)
    return keys


def _places(keys: Array, start: int, stop: int) -> Array:
    """The positions of what stands at ``start`` to ``stop`` in the order of each row."""
    size, wanted = keys.shape[-1], stop - start
    if 2 * wanted > size:
        return _order(keys)[:, start:stop]
    if start == 0 and size >= SPARSE * stop:
        return _chosen(keys, keys <= _bound(keys, stop), stop)
    parted = np.partition(keys, [start, stop - 1], -1) if size > SHORT else np.sort(keys, -1)
    near = keys <= parted[:, stop - 1 : stop]
    if start == 0:
        return _chosen(keys, near, stop)
    low = parted[:, start : start + 1]
    near &= keys >= low
    if wanted == 1 and np.count_nonzero(near) == len(keys):
        only: Array = np.argmax(near, -1, keepdims=True)
        return only
    found = _chosen(keys, near, size)
    skipped = start - np.count_nonzero(keys < low, axis=-1)
    return np.take_along_axis(found, skipped[:, None] + np.arange(wanted), -1)


def _order(keys: Array) -> Array:
    """The positions of all keys in order along the last axis."""
    if keys.dtype != np.int32:
        return np.argsort(keys, -1, kind="stable")
    numbers = keys.astype(np.int64)
    numbers <<= 32
    numbers |= np.arange(keys.shape[-1])
    numbers.sort(-1)
    numbers &= LOW
    return numbers


def _bound(keys: Array, count: int) -> Array:
    """A number for each row that is no smaller than its ``count`` smallest keys.

    So many of the smallest keys of equally many parts, each of which holds one of them.
    """
    size = keys.shape[-1]
    parts = max(CHUNKS * count, min(CHUNKS * SPARSE, size // SPARSE))
    each = size // parts
    least: Array = keys[:, : parts * each].reshape(-1, each, parts).min(1)
    least.partition(count - 1, -1)
    return least[:, count - 1 : count]


def _chosen(keys: Array, near: Array, most: int) -> Array:
    """The positions of ``near`` keys in order, as far as ``most``; then whatever."""
    (at,) = np.nonzero(near.reshape(-1))
    row, column = np.divmod(at, keys.shape[-1])
    counts = np.bincount(row, minlength=len(keys))
    width = int(counts.max())
    if len(at) != width * len(keys):
        spare = np.full((len(keys), width), np.iinfo(keys.dtype).max, keys.dtype)
        columns = np.zeros(spare.shape, np.int64)
        offset = np.arange(len(at)) - (np.cumsum(counts) - counts)[row]
        spare[row, offset] = keys.reshape(-1)[at]  # what fills a row up comes last
        columns[row, offset] = column
    else:
        spare, columns = keys.reshape(-1)[at].reshape(-1, width), column.reshape(-1, width)
    return np.take_along_axis(columns, _order(spare)[:, :most], -1)


ROWS: tuple[Op, ...] = (
    Op(
        "argsort",
        "indexing",
        1,
        _infer_argsort,
        argsort,
        cases=(
            Case(((3, 7),), {"axis": 1, "descending": False, "start": 0, "stop": 7}),
            Case(((6, 20),), {"axis": 0, "descending": True, "start": 1, "stop": 4}, ("i64",)),
        ),
    ),
)
