"""Integer tensors in, their bits moved out: products and whole quotients by powers of two.

The table has no shift. ``x << n`` is ``x * 2**n``, which wraps as a shift does; ``x >> n`` is the
floor quotient, which fills with the sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.dispatch import Operand, apply, operands
from engine.division import filled, floor_quotient
from engine.errors import DTypeError, message
from engine.locate import user_location
from ir.types import is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["bitwise_left_shift", "bitwise_right_shift"]


def _prepared(x: Operand, other: Operand, name: str) -> tuple[Tensor, Tensor]:
    a, b = operands(x, other, op=name)
    dtype = a.value.type.dtype
    if is_float(dtype) or dtype.kind == "b":
        raise DTypeError(message(user_location(), f"{name}() takes integers, not {dtype}"))
    return a, b


def _power(count: Tensor, bits: int) -> Tensor:
    """``2**count`` by squaring, for counts in [0, ``bits``]; what does not fit wraps."""
    out, step = filled(count, 1), 2 ** (bits.bit_length() - 1)
    rest = count
    while step:
        above = apply("ge", rest, filled(rest, step))
        rest = apply("select", above, apply("sub", rest, filled(rest, step)), rest)
        out = apply("select", above, apply("mul", out, filled(out, 2**step)), out)
        step //= 2
    return out


def bitwise_left_shift(x: Operand, other: Operand) -> Tensor:
    """``x << other``; 0 where all bits (without the sign) leave, or ``other`` is negative."""
    a, n = _prepared(x, other, "bitwise_left_shift")
    width = 8 * a.value.type.dtype.itemsize
    zero = filled(n, 0)
    inside = apply("and", apply("ge", n, zero), apply("lt", n, filled(n, width)))
    grown = apply("mul", a, _power(apply("select", inside, n, zero), width - 1))
    return apply("select", inside, grown, zero)


def bitwise_right_shift(x: Operand, other: Operand) -> Tensor:
    """``x >> other``, filled with the sign; a negative ``other`` counts as one too large."""
    a, n = _prepared(x, other, "bitwise_right_shift")
    kind = a.value.type.dtype
    bits = 8 * kind.itemsize - (kind.kind == "i")
    zero = filled(n, 0)
    inside = apply("and", apply("ge", n, zero), apply("lt", n, filled(n, bits)))
    shrunk = floor_quotient(a, _power(apply("select", inside, n, zero), bits - 1))
    sign = apply("select", apply("lt", a, zero), filled(a, -1), zero)
    return apply("select", inside, shrunk, sign)


def reversed_left_shift(x: Tensor, other: Operand) -> Tensor:
    """``other << x``."""
    return bitwise_left_shift(other, x)


def reversed_right_shift(x: Tensor, other: Operand) -> Tensor:
    """``other >> x``."""
    return bitwise_right_shift(other, x)
