"""Operands in, the result's dtype out: PyTorch's names and promotion over NumPy dtypes.

Kinds rank bool < integer < float. Within the highest kind, tensors with dimensions decide before
0-d tensors, and those before Python numbers, so ``x * 2.0`` keeps ``x``'s float dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.errors import DTypeError
from ir.types import BOOL, DTYPES, F32, I64, DType, dtype_of, is_half

dtype = DType
float16 = half = DTYPES["f16"]
bfloat16 = DTYPES["bf16"]
float32 = DTYPES["f32"]
float64 = DTYPES["f64"]
int8 = DTYPES["i8"]
int16 = DTYPES["i16"]
int32 = DTYPES["i32"]
int64 = DTYPES["i64"]
uint8 = DTYPES["u8"]
uint32 = DTYPES["u32"]
bool_ = DTYPES["bool"]

KIND_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "V": 2}  # V: how NumPy sees bfloat16
_PYTHON = {bool: BOOL, int: I64, float: F32}


def as_dtype(value: Any) -> DType:
    """The engine's dtype for ``engine.float32``, ``float``, ``"f32"`` or a NumPy dtype."""
    if value in _PYTHON:
        return _PYTHON[value]
    try:
        return dtype_of(value)
    except TypeError as error:
        raise DTypeError(str(error)) from None


def of_number(value: float) -> DType:
    """The dtype of a Python number on its own."""
    if isinstance(value, bool):
        return BOOL
    return I64 if isinstance(value, int) else F32


def promote(
    dimensioned: Iterable[DType], scalars: Iterable[DType], numbers: Iterable[DType]
) -> DType:
    """The common dtype of tensors with dimensions, 0-d tensors and Python numbers."""
    best: DType | None = None
    for group in (dimensioned, scalars, numbers):
        common: DType | None = None
        for item in group:
            common = item if common is None else join(common, item)
        if common is not None and (best is None or KIND_RANK[common.kind] > KIND_RANK[best.kind]):
            best = common
    assert best is not None, "promotion of nothing"
    return best


def join(a: DType, b: DType) -> DType:
    """The common dtype of two tensors: a float wins over integers whatever its width."""
    if a == b:
        return a
    if KIND_RANK[a.kind] != KIND_RANK[b.kind]:
        return a if KIND_RANK[a.kind] > KIND_RANK[b.kind] else b
    if is_half(a) or is_half(b):
        return F32 if is_half(a) and is_half(b) else (b if is_half(a) else a)
    return dtype_of(np.promote_types(a, b))
