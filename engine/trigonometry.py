"""Tensors in, angles and their functions out: trigonometric, hyperbolic and their inverses.

Formulas keep their digits near zero; shapes are the operands' broadcast shape.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.arithmetic import (
    abs,
    add,
    cos,
    div,
    exp,
    expm1,
    log,
    log1p,
    lt,
    mul,
    sin,
    sqrt,
    sub,
    where,
)
from engine.dispatch import Operand, cast, rounded_once
from engine.specials import floating, floats, negative_sign
from ir.types import F64

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cosh",
    "deg2rad",
    "rad2deg",
    "sinc",
    "sinh",
    "tan",
]


@rounded_once
def tan(x: Tensor) -> Tensor:
    """``sin(x) / cos(x)``."""
    return div(sin(x), cos(x))


@rounded_once
def sinh(x: Tensor) -> Tensor:
    """``(e**x - e**-x) / 2``."""
    x = floating(x)
    return mul(sub(expm1(x), expm1(-x)), 0.5)


@rounded_once
def cosh(x: Tensor) -> Tensor:
    """``(e**x + e**-x) / 2``."""
    x = floating(x)
    return mul(add(exp(x), exp(-x)), 0.5)


@rounded_once
def asinh(x: Tensor) -> Tensor:
    """The inverse of ``sinh``."""
    x = floating(x)
    below = lt(x, 0)
    size = where(below, -x, x)
    large = size > 1e8
    a = where(large, 1.0, size)
    near = log1p(a + a * a / (sqrt(a * a + 1) + 1))
    far = log(where(large, size, 1.0)) + math.log(2)
    out = where(large, far, near)
    return where(below, -out, out)


@rounded_once
def acosh(x: Tensor) -> Tensor:
    """The inverse of ``cosh``; NaN below 1."""
    x = floating(x)
    large = x > 1e8
    less = where(large, 1.0, x - 1)
    inside = less >= 0
    a, b = where(inside, less, 1.0), where(inside, -3.0, less)
    root = where(inside, sqrt(a) * sqrt(a + 2), sqrt(b * (b + 2)))  # no 0 * inf at 1
    near = log1p(less + root)
    return where(large, log(where(large, x, 1.0)) + math.log(2), near)


@rounded_once
def atanh(x: Tensor) -> Tensor:
    """The inverse of ``tanh``."""
    x = floating(x)
    return mul(sub(log1p(x), log1p(-x)), 0.5)


_ABOVE = (
    -8.750608600031904122785e-1,
    -1.615753718733365076637e1,
    -7.500855792314704667340e1,
    -1.228866684490136173410e2,
    -6.485021904942025371773e1,
)
_BELOW = (
    1.0,
    2.485846490142306297962e1,
    1.650270098316988542046e2,
    4.328810604912902668951e2,
    4.853903996359136964868e2,
    1.945506571482613964425e2,
)


def _polynomial(x: Tensor, factors: tuple[float, ...]) -> Tensor:
    out = add(mul(x, factors[0]), factors[1])
    for factor in factors[2:]:
        out = add(mul(out, x), factor)
    return out


@rounded_once
def atan(x: Tensor) -> Tensor:
    """The inverse of ``tan``: Cephes' rational approximation on a third of the quadrant."""
    x = floating(x)
    below = lt(x, 0)
    size = where(below, -x, x)
    steep, middle = size > math.tan(3 * math.pi / 8), size > 0.66
    turned = where(steep, -1.0 / where(steep, size, 1.0), size)
    shifted = (where(steep, 1.0, turned) - 1) / (where(steep, 1.0, turned) + 1)
    r = where(steep, turned, where(middle, shifted, turned))
    z = r * r
    rational = r * (z * _polynomial(z, _ABOVE) / _polynomial(z, _BELOW)) + r
    out = where(steep, rational + math.pi / 2, where(middle, rational + math.pi / 4, rational))
    return where(below, -out, out)


@rounded_once
def asin(x: Tensor) -> Tensor:
    """The inverse of ``sin``; NaN outside [-1, 1]."""
    x = floating(x)
    return mul(atan(x / (sqrt(1 - x) * sqrt(x + 1) + 1)), 2)


@rounded_once
def acos(x: Tensor) -> Tensor:
    """The inverse of ``cos``; NaN outside [-1, 1]."""
    x = floating(x)
    below = lt(x, 0)
    size = where(below, -x, x)
    out = mul(atan(sqrt(1 - size) / sqrt(size + 1)), 2)
    return where(below, math.pi - out, out)


def atan2(x: Tensor, other: Operand) -> Tensor:
    """The angle of the point (``other``, ``x``), in [-pi, pi]."""
    y, x = floats(x, other, op="atan2")
    both = (abs(x) == math.inf) & (abs(y) == math.inf)
    x, y = where(both, x.sign(), x), where(both, y.sign(), y)
    steep = abs(y) > abs(x)
    flat = where(steep, 0.0, y) / where(steep, 1.0, where(x == 0, 1.0, x))
    tall = where(steep, x, 0.0) / where(steep, y, 1.0)
    up = cast(where(negative_sign(y), -1.0, 1.0), y.dtype)
    side = atan(flat) + where(negative_sign(x), up * math.pi, 0.0)
    return where(steep, up * (math.pi / 2) - atan(tall), side)


def deg2rad(x: Tensor) -> Tensor:
    """Degrees as radians."""
    return mul(x, math.pi / 180)


def rad2deg(x: Tensor) -> Tensor:
    """Radians as degrees."""
    return mul(x, 180 / math.pi)


def sinc(x: Tensor) -> Tensor:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    kept = floating(x)
    x = cast(kept, F64)  # the gradient is a difference of near numbers
    turn = where(x == 0, 1.0, x * math.pi)
    return cast(where(x == 0, x * 0 + 1, sin(turn) / turn), kept.dtype)


arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2
arcsinh, arccosh, arctanh = asinh, acosh, atanh
