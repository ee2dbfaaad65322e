"""Symbol names in, exact sizes out: a dimension is an int or a polynomial over named symbols.

A batch size that differs between calls becomes a symbol ``N``; every size computed from it
(``2*N``, ``N*T``) stays an exact expression, so that one program serves every value of ``N``.
Equality is structural: two sizes are equal only where they are equal for every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Monomial: TypeAlias = tuple[str, ...]
Size: TypeAlias = "int | Dim"


@dataclass(frozen=True)
class Dim:
    """A polynomial with integer coefficients over symbols, never constant (see ``simplify``)."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Size) -> Size:
        total = dict(self.terms)
        for monomial, factor in _terms(other):
            total[monomial] = total.get(monomial, 0) + factor
        return _from_terms(total)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + other * -1

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                key = tuple(sorted(left + right))
                total[key] = total.get(key, 0) + a * b
        return _from_terms(total)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return divide(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return divide(other, self)

    def __str__(self) -> str:
        return "+".join(_term_text(monomial, factor) for monomial, factor in self.terms)

    __repr__ = __str__


def symbol(name: str) -> Dim:
    """The size named ``name``."""
    return Dim((((name,), 1),))


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def divide(size: Size, by: Size) -> Size:
    """``size / by`` where that is exact for every value of the symbols; ValueError where not."""
    if isinstance(size, int) and isinstance(by, int) and by != 0 and size % by == 0:
        return size // by
    if size == 0 and by != 0:
        return 0
    divisor = _terms(by)
    if len(divisor) != 1:
        if size == by:
            return 1
        raise ValueError(f"cannot divide size {size} by {by}")
    (monomial, factor), total = divisor[0], {}
    for left, coefficient in _terms(size):
        rest = list(left)
        for name in monomial:
            if name not in rest:
                raise ValueError(f"{size} is not a multiple of {by} for every {name}")
            rest.remove(name)
        if factor == 0 or coefficient % factor:
            raise ValueError(f"{size} is not a multiple of {by}")
        total[tuple(rest)] = coefficient // factor
    return _from_terms(total)


def evaluate(size: Size, env: Mapping[str, int]) -> int:
    """The value of ``size`` where each symbol has the value that ``env`` gives."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, factor in size.terms:
        for name in monomial:
            factor *= env[name]
        total += factor
    return total


def symbols(size: Size) -> frozenset[str]:
    """The names that ``size`` depends on."""
    return frozenset(name for monomial, _ in _terms(size) for name in monomial)


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    return size.terms if isinstance(size, Dim) else (((), int(size)),)


def _from_terms(total: Mapping[Monomial, int]) -> Size:
    terms = tuple(sorted(((m, f) for m, f in total.items() if f), key=lambda t: (-len(t[0]), t)))
    if not terms:
        return 0
    if len(terms) == 1 and terms[0][0] == ():
        return terms[0][1]
    return Dim(terms)


def _term_text(monomial: Monomial, factor: int) -> str:
    if not monomial:
        return str(factor)
    names = "*".join(monomial)
    return names if factor == 1 else f"{factor}*{names}"
