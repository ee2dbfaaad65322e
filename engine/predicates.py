"""Tensors in, bool tensors (or one Python bool) out: what holds, and logic over it.

``logical_*`` ask whether elements are zero, whatever their dtype; ``bitwise_*`` combine bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.arithmetic import (
    abs,
    eq,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    logical_and as bitwise_and,
    logical_not as _not,
    logical_or as bitwise_or,
    logical_xor as bitwise_xor,
    lt,
    ne,
)
from engine.dispatch import apply, cast, must_be_tensors, operands, scalar
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.specials import negative_sign
from ir.types import BOOL, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isclose",
    "isinf",
    "isneginf",
    "isposinf",
    "isreal",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "signbit",
]

greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne


def _truths(op: str, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    must_be_tensors(op, (x, other))
    return cast(x, BOOL), cast(other, BOOL)


def logical_and(x: Tensor, other: Tensor) -> Tensor:
    """Whether both are not zero."""
    return bitwise_and(*_truths("logical_and", x, other))


def logical_or(x: Tensor, other: Tensor) -> Tensor:
    """Whether one is not zero."""
    return bitwise_or(*_truths("logical_or", x, other))


def logical_xor(x: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one is not zero."""
    return bitwise_xor(*_truths("logical_xor", x, other))


def logical_not(x: Tensor) -> Tensor:
    """Whether it is zero."""
    return _not(cast(x, BOOL))


def bitwise_not(x: Tensor) -> Tensor:
    """Every bit turned; integers and bools."""
    kind = x.value.type
    if kind.dtype == BOOL:
        return _not(x)
    if is_float(kind.dtype):
        text = f"bitwise_not() takes integers or bools, not {kind.dtype}"
        raise DTypeError(message(user_location(), text))
    ones = -1 if kind.dtype.kind == "i" else 2 ** (8 * kind.dtype.itemsize) - 1
    return apply("xor", x, scalar(x, ones, kind.dtype, kind.shape))


def isposinf(x: Tensor) -> Tensor:
    """Whether each element is infinity."""
    return eq(x, math.inf) if is_float(x.value.type.dtype) else ne(x, x)


def isneginf(x: Tensor) -> Tensor:
    """Whether each element is minus infinity."""
    return eq(x, -math.inf) if is_float(x.value.type.dtype) else ne(x, x)


def isinf(x: Tensor) -> Tensor:
    """Whether each element is infinite."""
    return bitwise_or(isposinf(x), isneginf(x))


def isreal(x: Tensor) -> Tensor:
    """True everywhere: there are no complex tensors."""
    return bitwise_or(eq(x, x), isnan(x))


def signbit(x: Tensor) -> Tensor:
    """Whether the sign is minus, that of -0.0 included."""
    if x.value.type.dtype == BOOL:
        return ne(x, x)
    return negative_sign(x) if is_float(x.value.type.dtype) else lt(x, 0)


def isclose(
    x: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether ``|x - other| <= atol + rtol * |other|``, or both are the same infinity."""
    if rtol < 0 or atol < 0:
        text = f"isclose(): rtol and atol must not be negative: {rtol}, {atol}"
        raise ShapeError(message(user_location(), text))
    a, b = operands(x, other, op="isclose")
    if a.value.type.dtype == BOOL:
        return eq(a, b)
    near = bitwise_and(isfinite(b), le(abs(a - b), abs(b) * rtol + atol))
    out = bitwise_or(eq(a, b), near)
    return bitwise_or(out, bitwise_and(isnan(a), isnan(b))) if equal_nan else out


def allclose(
    x: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether ``isclose`` holds everywhere, as a Python bool."""
    return bool(isclose(x, other, rtol, atol, equal_nan).all())


def equal(x: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements are equal, as a Python bool."""
    return x.shape == other.shape and bool(eq(x, other).all())
