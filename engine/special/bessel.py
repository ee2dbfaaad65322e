"""Tensors in, Bessel and Airy functions of order 0 and 1 out: Cephes' approximations.

Each is evaluated in float64 whatever the dtype. PyTorch leaves out the leading 1 of some of
Cephes' denominators, so its J, Y and Ai are right to six or seven digits only; these to fifteen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.arithmetic import abs, cos, exp, isnan, log, lt, sin, sqrt, where
from engine.special import tables
from engine.special.double import in_double, polynomial

if TYPE_CHECKING:
    from engine.tensor import Tensor


def chebyshev(x: Tensor, factors: Sequence[float]) -> Tensor:
    """Cephes' ``chbevl``: a series of Chebyshev polynomials of ``x / 2``, the constant last."""
    last, now = x * 0.0, x * 0.0 + factors[0]
    before = last
    for factor in factors[1:]:
        before, last, now = last, now, x * now - last + factor
    return (now - before) * 0.5


def _modified(x: Tensor, near: Sequence[float], far: Sequence[float], odd: bool) -> Tensor:
    """``exp(-|x|)`` times a modified Bessel function of the first kind."""
    size = abs(x)
    large = size > 8
    low = chebyshev(where(large, 1.0, size) * 0.5 - 2.0, near)
    wide = where(large, size, 8.0)
    high = chebyshev(32.0 / wide - 2.0, far) / sqrt(wide)
    if not odd:
        return where(large, high, low)
    return where(large, where(lt(x, 0), -high, high), where(large, 1.0, x) * low)


def _grown(scaled: Tensor, x: Tensor) -> Tensor:
    """``scaled * exp(|x|)``, in two steps, since the exponential would overflow early."""
    half = exp(abs(x) * 0.5)
    out = scaled * half * half
    return where(abs(x) == math.inf, x.detach(), out)


@in_double
def i0e(x: Tensor) -> Tensor:
    """``exp(-|x|) i0(x)``."""
    return _modified(x, tables.I0_A, tables.I0_B, False)


@in_double
def i1e(x: Tensor) -> Tensor:
    """``exp(-|x|) i1(x)``."""
    return _modified(x, tables.I1_A, tables.I1_B, True)


@in_double
def i1(x: Tensor) -> Tensor:
    """The modified Bessel function of the first kind and order 1."""
    return _grown(i1e(x), x)


@in_double
def modified_bessel_i0(x: Tensor) -> Tensor:
    """The modified Bessel function of the first kind and order 0."""
    return abs(_grown(i0e(x), x))


@in_double
def modified_bessel_i1(x: Tensor) -> Tensor:
    """The modified Bessel function of the first kind and order 1."""
    return _grown(i1e(x), x)


def _second(x: Tensor, order: int, scaled: bool) -> Tensor:
    """A modified Bessel function of the second kind; infinite at 0, NaN below."""
    near, far = (tables.K1_A, tables.K1_B) if order else (tables.K0_A, tables.K0_B)
    large = x > 2
    inside = (x > 0) & ~large
    a = where(inside, x, 1.0)
    series = chebyshev(a * a - 2.0, near)
    if order:
        low = log(a * 0.5) * modified_bessel_i1(a) + series / a
    else:
        low = series - log(a * 0.5) * modified_bessel_i0(a)
    b = where(large, x, 2.0)
    high = chebyshev(8.0 / b - 2.0, far) / sqrt(b)
    if scaled:
        low = low * exp(a)
    else:
        high = high * exp(-b)
    outside = where(x == 0, math.inf, math.nan)
    return where(large, high, where(inside, low, outside))


@in_double
def modified_bessel_k0(x: Tensor) -> Tensor:
    """The modified Bessel function of the second kind and order 0; NaN below 0."""
    return _second(x, 0, False)


@in_double
def modified_bessel_k1(x: Tensor) -> Tensor:
    """The modified Bessel function of the second kind and order 1; NaN below 0."""
    return _second(x, 1, False)


@in_double
def scaled_modified_bessel_k0(x: Tensor) -> Tensor:
    """``exp(x) modified_bessel_k0(x)``."""
    return _second(x, 0, True)


@in_double
def scaled_modified_bessel_k1(x: Tensor) -> Tensor:
    """``exp(x) modified_bessel_k1(x)``."""
    return _second(x, 1, True)


def _monic(x: Tensor, factors: Sequence[float]) -> Tensor:
    """A polynomial whose highest factor is 1, which the tables leave out."""
    return polynomial(x, (1.0, *factors))


def _wave(x: Tensor, order: int, second: bool) -> Tensor:
    """Hankel's expansion for ``x`` above 5."""
    names = ("PP", "PQ", "QP", "QQ")
    pp, pq, qp, qq = (getattr(tables, f"J{order}_{name}") for name in names)
    z = 25.0 / (x * x)
    even = polynomial(z, pp) / polynomial(z, pq)
    odd = 5.0 / x * (polynomial(z, qp) / _monic(z, qq))
    turn = x - math.pi * (0.75 if order else 0.25)
    out = even * sin(turn) + odd * cos(turn) if second else even * cos(turn) - odd * sin(turn)
    return out * math.sqrt(2 / math.pi) / sqrt(x)


_ZEROS = (
    (5.78318596294678452118, 30.4712623436620863991),
    (14.6819706421238932572, 49.2184563216946036703),
)


def _first(x: Tensor, order: int) -> Tensor:
    size = abs(x)
    large = size > 5
    a = where(large, 1.0, size)
    z = a * a
    rp, rq = (tables.J1_RP, tables.J1_RQ) if order else (tables.J0_RP, tables.J0_RQ)
    low = polynomial(z, rp) / _monic(z, rq)
    for zero in _ZEROS[order]:
        low = low * (z - zero)
    low = low * a if order else low
    out = where(large, _wave(where(large, size, 6.0), order, False), low)
    return where(lt(x, 0), -out, out) if order else out


@in_double
def bessel_j0(x: Tensor) -> Tensor:
    """The Bessel function of the first kind and order 0."""
    return _first(x, 0)


@in_double
def bessel_j1(x: Tensor) -> Tensor:
    """The Bessel function of the first kind and order 1."""
    return _first(x, 1)


def _neumann(x: Tensor, order: int) -> Tensor:
    """A Bessel function of the second kind; minus infinity at 0, NaN below."""
    large = x > 5
    inside = (x > 0) & ~large
    a = where(inside, x, 1.0)
    z = a * a
    if order:
        low = a * (polynomial(z, tables.Y1_YP) / _monic(z, tables.Y1_YQ))
        low = low + 2 / math.pi * (_first(a, 1) * log(a) - 1.0 / a)
    else:
        low = polynomial(z, tables.Y0_YP) / _monic(z, tables.Y0_YQ)
        low = low + 2 / math.pi * (log(a) * _first(a, 0))
    high = _wave(where(large, x, 6.0), order, True)
    outside = where(x == 0, -math.inf, math.nan)
    return where(large, high, where(inside, low, outside))


@in_double
def bessel_y0(x: Tensor) -> Tensor:
    """The Bessel function of the second kind and order 0; NaN below 0."""
    return _neumann(x, 0)


@in_double
def bessel_y1(x: Tensor) -> Tensor:
    """The Bessel function of the second kind and order 1; NaN below 0."""
    return _neumann(x, 1)


@in_double
def spherical_bessel_j0(x: Tensor) -> Tensor:
    """``sin(x) / x``, 1 at 0."""
    near = abs(x) < 0.5
    endless = abs(x) == math.inf
    a = where(near, x, 0.0)
    series = polynomial(a * a, [(-1) ** k / math.factorial(2 * k + 1) for k in reversed(range(8))])
    b = where(near | endless, 1.0, x)
    return where(near, series, where(endless, 0.0, sin(b) / b))


_ORIGIN = (0.355028053887817239260, 0.258819403792806798405)  # Ai(0) and -Ai'(0)


@in_double
def airy_ai(x: Tensor) -> Tensor:
    """Airy's function Ai; NaN at infinity."""
    left, right = x < -2.09, x > 2.09
    m = where(left, -x, 3.0)
    phase = 2.0 / 3.0 * m * sqrt(m)
    z = 1.0 / phase
    even = 1.0 + z * z * polynomial(z * z, tables.AIRY_FN) / _monic(z * z, tables.AIRY_FD)
    odd = z * polynomial(z * z, tables.AIRY_GN) / _monic(z * z, tables.AIRY_GD)
    turn = phase + 0.25 * math.pi
    below = (sin(turn) * even - cos(turn) * odd) / math.sqrt(math.pi) / sqrt(sqrt(m))
    p = where(right, x, 3.0)
    zeta = 2.0 / 3.0 * p * sqrt(p)
    falls = polynomial(1.0 / zeta, tables.AIRY_N) / polynomial(1.0 / zeta, tables.AIRY_D)
    above = falls / math.sqrt(math.pi) / (2.0 * sqrt(sqrt(p)) * exp(zeta))
    middle = _airy_series(where(left | right, 0.0, x))
    out = where(left, below, where(right, above, middle))
    return where(isnan(x) | (abs(x) == math.inf), math.nan, out)


def _airy_series(x: Tensor) -> Tensor:
    cube = x * x * x
    f, g = [1.0], [1.0]
    for k in range(1, 16):
        f.append(f[-1] / ((3 * k - 1) * (3 * k)))
        g.append(g[-1] / ((3 * k) * (3 * k + 1)))
    return _ORIGIN[0] * polynomial(cube, f[::-1]) - _ORIGIN[1] * x * polynomial(cube, g[::-1])
