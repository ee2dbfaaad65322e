"""Tensors in, functions of the normal distribution out, and those that they are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.arithmetic import abs, exp, log, log1p, lt, sqrt, where
from engine.gamma import ERFC_FAR, ERFC_NEAR, erfc
from engine.special import tables
from engine.special.double import in_double, polynomial

if TYPE_CHECKING:
    from engine.tensor import Tensor


@in_double
def entr(x: Tensor) -> Tensor:
    """``-x log(x)``: 0 at 0, minus infinity below."""
    inside = x > 0
    a = where(inside, x, 1.0)
    below = lt(x, 0)
    gone = log(where(below & (x > -math.inf), x, 1.0) * 0.0)  # minus infinity, its slope NaN
    zero = sqrt(where(x == 0, x, 1.0))
    return where(inside, -a * log(a), where(below, gone, where(x == 0, zero, x)))


@in_double
def erfcx(x: Tensor) -> Tensor:
    """``exp(x**2) erfc(x)``, which stays finite where ``erfc`` vanishes."""
    size = abs(x)
    tail, endless = size >= 1, size == math.inf
    ratio = where(endless, 0.0, _tail_ratio(where(tail & ~endless, size, 1.0)))
    a, b = where(tail, 0.0, x), where(tail & lt(x, 0), x, 0.0)
    far = where(lt(x, 0), exp(b * b) * 2.0 - ratio, ratio)
    return where(tail, far, exp(a * a) * erfc(a))


def _tail_ratio(x: Tensor) -> Tensor:
    """``erfcx`` from 1 on."""
    far = x > 8
    a, b = where(far, 1.0, x), where(far, x, 8.0)
    high = polynomial(b, ERFC_FAR[0]) / polynomial(b, ERFC_FAR[1])
    return where(far, high, polynomial(a, ERFC_NEAR[0]) / polynomial(a, ERFC_NEAR[1]))


@in_double
def ndtr(x: Tensor) -> Tensor:
    """The probability that a normal variable is at most ``x``."""
    return erfc(x * -math.sqrt(0.5)) * 0.5


@in_double
def log_ndtr(x: Tensor) -> Tensor:
    """The logarithm of ``ndtr``, also where that vanishes."""
    t = x * math.sqrt(0.5)
    low = lt(x, -1.0)
    a, b = where(low, t, -1.0), where(low, 0.0, t)
    return where(low, log(erfcx(-a) * 0.5) - a * a, log1p(erfc(b) * -0.5))


@in_double
def ndtri(p: Tensor) -> Tensor:
    """The inverse of ``ndtr``: infinite at 0 and 1, NaN beyond."""
    inside = (p > 0) & (p < 1)
    y = where(inside, p, 0.5)
    upper = y > 1 - math.exp(-2)
    small = where(upper, 1.0 - y, y)
    central = small > math.exp(-2)
    c = where(central, small, 0.5) - 0.5
    z = c * c
    ratio = polynomial(z, tables.NORMAL_P0) / polynomial(z, tables.NORMAL_Q0)
    middle = (c + c * (z * ratio)) * math.sqrt(2 * math.pi)
    x = sqrt(log(where(central, 0.1, small)) * -2.0)
    r = 1.0 / x
    near = polynomial(r, tables.NORMAL_P1) / polynomial(r, tables.NORMAL_Q1)
    far = polynomial(r, tables.NORMAL_P2) / polynomial(r, tables.NORMAL_Q2)
    tail = x - log(x) / x - r * where(x < 8.0, near, far)
    found = where(central, middle, where(upper, tail, -tail))
    beyond = sqrt(where((p >= 0) & (p <= 1), 1.0, -abs(p) - 1.0))
    start, end = log(where(p == 0, p, 1.0)), -log(where(p == 1, 1.0 - p, 1.0))
    return where(inside, found, where(p == 0, start, where(p == 1, end, beyond)))
