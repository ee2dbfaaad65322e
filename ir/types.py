"""Dtypes and shapes in, tensor types out: what a value is before anyone computes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import ml_dtypes
import numpy as np

from ir.dims import Size, product

DType: TypeAlias = np.dtype[np.generic]

_NAMES = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "u32": np.uint32,
    "bool": np.bool_,
}
DTYPES: dict[str, DType] = {name: np.dtype(kind) for name, kind in _NAMES.items()}
_SHORT = {dtype: name for name, dtype in DTYPES.items()}

F16, BF16 = DTYPES["f16"], DTYPES["bf16"]
F32, F64 = DTYPES["f32"], DTYPES["f64"]
I8, I32, I64, U32 = DTYPES["i8"], DTYPES["i32"], DTYPES["i64"], DTYPES["u32"]
BOOL = DTYPES["bool"]


def dtype_of(value: object) -> DType:
    """The table's dtype for a name (``"f32"``), a NumPy dtype or a NumPy scalar type.

    Raises TypeError for a dtype that no op supports.
    """
    if isinstance(value, str) and value in DTYPES:
        return DTYPES[value]
    dtype: DType = np.dtype(value)  # type: ignore[call-overload]
    if dtype not in _SHORT:
        known = ", ".join(str(d) for d in _SHORT)
        raise TypeError(f"dtype {dtype} is not supported; supported are {known}")
    return dtype


def short(dtype: DType) -> str:
    """The dtype's name in printed graphs: ``f32``, ``i64``, ``bool``."""
    return _SHORT[dtype]


def is_float(dtype: DType) -> bool:
    """Whether values of ``dtype`` carry gradients."""
    return dtype.kind == "f" or dtype == BF16


def is_half(dtype: DType) -> bool:
    """Whether ``dtype`` is for storage: values are moved as they are, and computed in float32."""
    return dtype in (F16, BF16)


def number_of(value: object, dtype: DType) -> float | int | bool:
    """``value`` rounded to ``dtype``, as a Python number."""
    found = np.asarray(value, dtype)
    return float(found) if is_half(dtype) else found.item()


def differentiable(type_: TensorType) -> bool:
    """Whether a cotangent can flow through a value of ``type_``: a float, or a tuple of values."""
    return is_float(type_.dtype) or isinstance(type_, TupleType)


@dataclass(frozen=True)
class TensorType:
    """Element type and shape of a value."""

    dtype: DType
    shape: tuple[Size, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> Size:
        return product(self.shape)

    @property
    def is_static(self) -> bool:
        return all(isinstance(size, int) for size in self.shape)

    def with_shape(self, shape: Iterable[Size]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{short(self.dtype)}[{','.join(str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class TupleType(TensorType):
    """Several values at once: what a loop gives. Only ``item`` reads it."""

    items: tuple[TensorType, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


def tuple_type(items: Iterable[TensorType]) -> TupleType:
    """The type of the values ``items`` together; in NumPy an array of objects."""
    parts = tuple(items)
    return TupleType(np.dtype(object), (len(parts),), parts)
