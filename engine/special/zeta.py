"""Tensors in, Hurwitz' zeta function and the derivatives of ``digamma`` out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.arithmetic import floor, isnan, pow, rpow, where
from engine.dispatch import Operand, cast
from engine.errors import ShapeError, message
from engine.gamma import digamma
from engine.locate import user_location
from engine.specials import floating, floats
from ir.types import F64

if TYPE_CHECKING:
    from engine.tensor import Tensor

_TERMS = 10
_BERNOULLI = (
    *(1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510),
    *(43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730),
)


def _positive(x: Tensor, q: Tensor) -> Tensor:
    """The sum of ``(k + q)**-x`` over k >= 0 for q > 0 and x > 1: Euler and Maclaurin's formula."""
    total = pow(q, -x)
    for k in range(1, _TERMS):
        total = total + pow(q + k, -x)
    w = q + _TERMS
    rest = pow(w, -x)
    total = total + rest * w / (x - 1.0) + rest * 0.5
    factor = x * rest / w
    for k, number in enumerate(_BERNOULLI):
        total = total + factor * (number / math.factorial(2 * k + 2))
        factor = factor * (x + (2 * k + 1)) * (x + (2 * k + 2)) / (w * w)
    return total


def _hurwitz(x: Tensor, q: Tensor) -> Tensor:
    """Also for q < 0, where x is whole: infinite at poles, NaN for other x."""
    usual = x > 1
    a = where(usual, x, 2.0)
    above = q > 0
    whole = floor(q) == q
    part = q - floor(q)
    start = where(above, q, where(whole, 0.5, part))
    out = _positive(a, start)
    below = ~above & ~whole
    mirrored = _positive(a, where(below, 1.0 - part, 1.0))
    mirrored = mirrored - _positive(a, where(below, 1.0 - q, 1.0))
    even = floor(a * 0.5) * 2.0 == a
    out = where(below, out + where(even, mirrored, -mirrored), out)
    out = where(~above & whole, math.inf, where(below & (floor(a) != a), math.nan, out))
    out = where(usual, out, where(x == 1, math.inf, math.nan))
    return where(isnan(x) | isnan(q), math.nan, out)


def zeta(x: Operand, q: Operand) -> Tensor:
    """Hurwitz' zeta function: the sum of ``(k + q)**-x`` over k = 0, 1, ...

    Infinite at x = 1 and at q = 0, -1, ...; NaN for x < 1.
    """
    a, b = floats(x, q)
    return cast(_hurwitz(cast(a, F64), cast(b, F64)), a.value.type.dtype)


def polygamma(n: int, x: Tensor) -> Tensor:
    """The n-th derivative of ``digamma``."""
    if n < 0:
        text = "polygamma(n, x) does not support negative n."
        raise ShapeError(message(user_location(), text))
    if n == 0:
        return digamma(x)
    x = floating(x)
    wide = cast(x, F64)
    order = rpow(wide * 0.0, 1) * float(n + 1)
    out = _hurwitz(order, wide) * ((-1.0) ** (n + 1) * math.factorial(n))
    return cast(out, x.value.type.dtype)
