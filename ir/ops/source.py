"""Nothing (or a key) in, values out: graph inputs, constants, counters and random bits.

Random bits are counter-based (Threefry-2x32, 20 rounds; Salmon et al., SC 2011): element ``i``
depends on the key and ``i`` alone, so every target and every thread draws the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import broken
from ir.table import Array, Case, Op
from ir.types import I64, U32, TensorType

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(key: Array, index: Array) -> Array:
    """The first word of Threefry-2x32 of counter ``(index, 0)`` under ``key`` (two words)."""
    k0, k1 = np.uint32(key[0]), np.uint32(key[1])
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(PARITY))
    with np.errstate(over="ignore"):
        x0 = index.astype(np.uint32) + keys[0]
        x1 = np.zeros_like(x0) + keys[1]
        for group in range(5):
            for turn in ROTATIONS[group % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(turn)) | (x1 >> np.uint32(32 - turn))
                x1 = x1 ^ x0
            x0 = x0 + keys[(group + 1) % 3]
            x1 = x1 + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x0


def _infer_input(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    return TensorType(attrs["dtype"], tuple(attrs["shape"]))


def _infer_constant(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    return TensorType(attrs["dtype"], ())


def _constant(value: float, dtype: Any) -> Array:
    return np.asarray(value, dtype)


def _size(size: int, dtype: Any) -> Array:
    return np.asarray(size, dtype)


def _infer_iota(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    return TensorType(attrs["dtype"], tuple(attrs["shape"]))


def _iota(shape: Sequence[int], axis: int, dtype: Any) -> Array:
    spread = [1] * len(shape)
    spread[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).astype(dtype).reshape(spread), tuple(shape))


def _infer_random(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    if types[0] != TensorType(U32, (2,)):
        raise broken(f"the key must be u32[2], not {types[0]}")
    return TensorType(U32, tuple(attrs["shape"]))


def _random_bits(key: Array, shape: Sequence[int]) -> Array:
    return threefry(key, np.arange(math.prod(shape), dtype=np.int64)).reshape(tuple(shape))


def _no_input(**attrs: Any) -> Array:
    raise LookupError("a graph input has no value of its own")


ROWS: tuple[Op, ...] = (
    Op("input", "source", 0, _infer_input, _no_input),
    Op(
        "constant",
        "source",
        0,
        _infer_constant,
        _constant,
        cases=(Case((), {"value": 2.5, "dtype": np.dtype(np.float32)}),),
    ),
    Op(
        "iota",
        "source",
        0,
        _infer_iota,
        _iota,
        cases=(
            Case((), {"shape": (3, 20), "axis": 1, "dtype": I64}),
            Case((), {"shape": (3, 5), "axis": 0, "dtype": np.dtype(np.float32)}),
        ),
    ),
    Op(
        "size",
        "source",
        0,
        lambda types, attrs: TensorType(attrs["dtype"], ()),
        _size,
        cases=(Case((), {"size": 7, "dtype": np.dtype(np.float32)}),),
    ),
    Op(
        "random_bits",
        "source",
        1,
        _infer_random,
        _random_bits,
        cost=60.0,
        cases=(
            Case(((2,),), {"shape": (3, 21)}, ("u32",), 0, 1e9),
            Case(((2,),), {"shape": (5,)}, ("u32",), 0, 1e9),
        ),
    ),
)
