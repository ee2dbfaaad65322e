"""How many results and taps a short convolution has in, matrices of a fast algorithm for it out.

Results of a convolution are coefficients of a product of polynomials. Toom and Cook evaluate both
factors at as many points as the product has coefficients, multiply there, and interpolate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod

# 0, 1, -1, and what rounds least of small fractions; opposite ones share the work of a transform
_FEW = (0, 1, -1, 2, Fraction(-1, 2), Fraction(1, 2), -2)
_MANY = (0, 1, -1, Fraction(4, 3), Fraction(-4, 3), Fraction(2, 5), Fraction(-2, 5), -3)
MOST = len(_MANY) + 1  # points, with infinity

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Transforms:
    """What ``m`` results of ``r`` taps need: ``interpolate`` [m, n], ``taps`` [n, r] and
    ``tile`` [n, n], for ``n = m + r - 1`` points."""

    interpolate: Matrix
    taps: Matrix
    tile: Matrix


@cache
def transforms(m: int, r: int) -> Transforms:
    """The matrices of Toom and Cook's algorithm; the last point is infinity."""
    n = m + r - 1
    assert n <= MOST, f"{n} points are more than the {MOST} that round well"
    points = [Fraction(p) for p in (_FEW[: n - 1] if n <= len(_FEW) + 1 else _MANY)]
    others = [[q for q in points if q != p] for p in points]
    interpolate = [[*(p**i for p in points), Fraction(i == m - 1)] for i in range(m)]
    taps = [
        [p**k / prod(p - q for q in rest) for k in range(r)]
        for p, rest in zip(points, others, strict=True)
    ]
    taps.append([Fraction(k == r - 1) for k in range(r)])
    tile = [[*_polynomial(rest), Fraction(0)] for rest in others]
    tile.append(_polynomial(points))
    return Transforms(_floats(interpolate), _floats(taps), _floats(tile))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        found = [
            a - root * b for a, b in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)
        ]
    return found


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(float(number) for number in row) for row in rows)
