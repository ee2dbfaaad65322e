"""Tensors in, the special functions of analysis out: error, gamma and Bessel functions.

Each is evaluated in float64 whatever the dtype, so that a float32 result is right to the last
place or two, and differentiates as the formula that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING

from engine.arithmetic import abs, eq, erf, exp, floor, isnan, log, lt, sin, sqrt, where
from engine.dispatch import cast
from engine.specials import copysign, floating
from engine.trigonometry import tan
from ir.types import F64

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["digamma", "erfc", "erfinv", "i0", "lgamma", "mvlgamma"]

Function = Callable[..., "Tensor"]


def _in_double(function: Function) -> Function:
    @wraps(function)
    def run(x: Tensor) -> Tensor:
        x = floating(x)
        return cast(function(cast(x, F64)), x.value.type.dtype)

    return run


def _polynomial(x: Tensor, factors: Sequence[float]) -> Tensor:
    """The highest power first."""
    out = x * factors[0] + factors[1]
    for factor in factors[2:]:
        out = out * x + factor
    return out


# Cephes, ndtr.c (S. L. Moshier): erfc(x) exp(x**2) as quotients of polynomials.
ERFC_NEAR = (
    (
        *(2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687),
        *(4.86371970985681366614e1, 1.96520832956077098242e2, 5.26445194995477358631e2),
        *(9.34528527171957607540e2, 1.02755188689515710272e3, 5.57535335369399327526e2),
    ),
    (
        *(1.0, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2),
        *(9.75708501743205489753e2, 1.82390916687909736289e3, 2.24633760818710981792e3),
        *(1.65666309194161350182e3, 5.57535340817727675546e2),
    ),
)
ERFC_FAR = (
    (
        *(5.64189583547755073984e-1, 1.27536670759978104416, 5.01905042251180477414),
        *(6.16021097993053585195, 7.40974269950448939160, 2.97886665372100240670),
    ),
    (
        *(1.0, 2.26052863220117276590, 9.39603524938001434673, 1.20489539808096656605e1),
        *(1.70814450747565897222e1, 9.60896809063285878198, 3.36907645100081516050),
    ),
)


@_in_double
def erfc(x: Tensor) -> Tensor:
    """``1 - erf(x)``, to full precision where that is near 0.

    Cephes' rational approximations: within 1 ulp in float32, 10 in float64. Integers become
    float32, here and below.
    """
    tail = x >= 1
    size = where(tail, x, 1.0)
    size = where(size > 40, 40.0, size)
    head = floor(size * 16) * 0.0625  # its square is exact: no rounding error to blow up
    grown = exp(-head * head) * exp(-(size - head) * (size + head))
    far = size > 8
    a, b = where(far, 1.0, size), where(far, size, 8.0)
    ratio = where(
        far,
        _polynomial(b, ERFC_FAR[0]) / _polynomial(b, ERFC_FAR[1]),
        _polynomial(a, ERFC_NEAR[0]) / _polynomial(a, ERFC_NEAR[1]),
    )
    return where(tail, grown * ratio, 1 - erf(where(tail, 0.0, x)))


@_in_double
def erfinv(x: Tensor) -> Tensor:
    """The inverse of ``erf``; infinite at -1 and 1, NaN beyond.

    Rational first guesses (as in PyTorch, from Matlab's ``erfinv.m``), made exact by Newton's
    steps on ``erf``, or on ``erfc`` near the ends: within 1 ulp in float32, 3 in float64.
    """
    size = abs(x)
    end, out = size >= 1, size > 1
    inner = where(end | isnan(x), 0.0, x)
    central = abs(inner) <= 0.7
    y = where(central, inner, 0.0)
    z = y * y
    low = _polynomial(z, (-0.140543331, 0.914624893, -1.645349621, 0.886226899))
    near = y * low / _polynomial(z, (0.012229801, -0.329097515, 1.442710462, -2.118377725, 1.0))
    rest = 1 - where(central, 0.5, abs(inner))
    w = sqrt(-log(rest * 0.5))
    high = _polynomial(w, (1.641345311, 3.429567803, -1.624906493, -1.970840454))
    far = high / _polynomial(w, (1.637067800, 3.543889200, 1.0))
    for _ in range(2):
        near = near - (erf(near) - y) * exp(near * near) * (math.sqrt(math.pi) / 2)
        far = far + (erfc(far) - rest) * exp(far * far) * (math.sqrt(math.pi) / 2)
    found = where(central, near, copysign(far, inner))
    edge = where(end | isnan(x), x, 1.0)  # apart, so that the others' gradient meets no infinity
    edge = edge * where(out | isnan(x), math.nan, math.inf)
    return where(end | isnan(x), edge, found)


_SHIFT = 10
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


@_in_double
def lgamma(x: Tensor) -> Tensor:
    """``log(abs(gamma(x)))``; infinite at 0, -1, -2, ...

    Stirling's series from 10 on, the recurrence below, the reflection below 0.5: within 1 ulp in
    float32, an error of 1e-14 (absolute, or relative where that is more) in float64.
    """
    below = lt(x, 0.5)
    size = where(below, 1 - x, x)
    huge = size == math.inf
    size = where(huge, 1.0, size)
    small = size < _SHIFT
    base = where(small, size, 1.0)
    steps = base
    for k in range(1, _SHIFT):
        steps = steps * (base + k)
    y = where(small, size + _SHIFT, size)
    terms = [b / ((2 * k + 2) * (2 * k + 1)) for k, b in enumerate(_BERNOULLI)]
    series = _polynomial(1 / (y * y), terms[::-1]) / y
    above = (y - 0.5) * (log(y) - 1) + series + (0.5 * math.log(2 * math.pi) - 0.5)
    out = where(huge, math.inf, above - where(small, log(steps), 0.0))
    left = where(below & ~huge, x, 0.5)
    part = abs(left - floor(left + 0.5))
    mirrored = math.log(math.pi) - log(sin(part * math.pi)) - out
    out = where(eq(x, 1) | eq(x, 2), out - out.detach(), out)
    far = where(huge, x, 1.0)
    down = where(huge & below, x, 1.0)  # where there is no derivative: that of the root is NaN
    end = where(below, sqrt(down * down), far * math.inf)
    return where(huge, end, where(below, mirrored, out))


@_in_double
def digamma(x: Tensor) -> Tensor:
    """The derivative of ``lgamma``; NaN at -1, -2, ..., infinite at 0.

    The asymptotic series from 10 on, the recurrence below, the reflection below 0: within 1 ulp
    in float32, an error of 1e-13 (absolute or relative) in float64.
    """
    below = lt(x, 0)
    size = where(below, 1 - x, x)
    small = size < _SHIFT
    base = where(small, size, 1.0)
    steps = 1 / base
    for k in range(1, _SHIFT):
        steps = steps + 1 / (base + k)
    y = where(small, size + _SHIFT, size)
    z = 1 / (y * y)
    terms = [b / (2 * k + 2) for k, b in enumerate(_BERNOULLI)]
    out = log(y) - 0.5 / y - z * _polynomial(z, terms[::-1]) - where(small, steps, 0.0)
    left = where(below, x, 0.5)
    part = left - floor(left + 0.5)
    pole = below & (part == 0)
    turn = math.pi / tan(where(pole, 0.5, part) * math.pi)
    return where(pole, math.nan, where(below, out - turn, out))


_SERIES = [1 / math.factorial(k) ** 2 for k in range(46)]
_TAIL = [math.prod((2 * i - 1) ** 2 / (8 * i) for i in range(1, k + 1)) for k in range(26)]


@_in_double
def i0(x: Tensor) -> Tensor:
    """The modified Bessel function of the first kind and order 0.

    Its power series up to 20, Hankel's asymptotic expansion beyond (Abramowitz and Stegun, 9.6.12
    and 9.7.1): within 1 ulp in float32, 10 in float64.
    """
    size = abs(x)
    large, huge = size > 20, size > 713.98  # where float64 ends
    near = where(large, 1.0, x)
    far = where(large & ~huge, size, 20.0)
    half = exp(far * 0.5)  # twice, since exp itself would overflow early
    tail = half * _polynomial(1 / far, _TAIL[::-1]) / sqrt(far * (2 * math.pi)) * half
    tail = where(huge, where(huge, size, 1.0) * math.inf, tail)
    return where(large, tail, _polynomial(near * near * 0.25, _SERIES[::-1]))


def mvlgamma(x: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``p``."""
    out = lgamma(x)
    for k in range(1, p):
        out = out + lgamma(x - k * 0.5)
    return out + p * (p - 1) / 4 * math.log(math.pi)
