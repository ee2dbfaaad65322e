"""Loop axes in, index expressions out: sums of scaled atoms, where an atom is an axis or a
division or remainder of another expression.

Movement ops become index arithmetic here, so most of them cost nothing. The constructors
simplify with the axes' extents: a reshape that splits an axis and another that merges it again
leave the axis itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ir.dims import Size, product
from ir.errors import UnsupportedError


@dataclass(frozen=True)
class Axis:
    """One loop variable: counts from 0 to ``extent``. ``name`` is unique within a kernel."""

    name: str
    extent: Size

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Div:
    """``inner // by``."""

    inner: Index
    by: int

    def __str__(self) -> str:
        return f"({self.inner}) // {self.by}"


@dataclass(frozen=True)
class Mod:
    """``inner % by``."""

    inner: Index
    by: int

    def __str__(self) -> str:
        return f"({self.inner}) % {self.by}"


@dataclass(frozen=True)
class Dynamic:
    """A position that is itself a computed value (an expression of ``codegen.nest``)."""

    value: Hashable
    axes: frozenset[Axis]  # that the value depends on
    extent: Size  # the value lies in [0, extent)

    def __str__(self) -> str:
        return f"<{self.value}>"


Atom: TypeAlias = Axis | Div | Mod | Dynamic


@dataclass(frozen=True)
class Index:
    """``sum(factor * atom) + offset``; terms sorted, factors nonzero."""

    terms: tuple[tuple[Atom, Size], ...] = ()
    offset: Size = 0

    def __str__(self) -> str:
        parts = [
            (f"({atom})" if isinstance(atom, Div) and factor != 1 else str(atom))
            + ("" if factor == 1 else f" * {factor}")
            for atom, factor in self.terms
        ]
        if self.offset != 0 or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts).replace("+ -", "- ")

    @property
    def static(self) -> int | None:
        """The value where it is a known int."""
        return self.offset if not self.terms and isinstance(self.offset, int) else None


ZERO = Index()


def of_axis(axis: Axis) -> Index:
    """The axis itself; zero where it has one step."""
    return ZERO if axis.extent == 1 else Index(((axis, 1),))


def add(*parts: Index | Size) -> Index:
    """The sum, with divisions and remainders of one expression put back together."""
    terms: dict[Atom, Size] = {}
    offset: Size = 0
    for part in parts:
        if not isinstance(part, Index):
            offset = offset + part
            continue
        offset = offset + part.offset
        for atom, factor in part.terms:
            terms[atom] = terms.get(atom, 0) + factor
    live = {atom: factor for atom, factor in terms.items() if factor != 0}
    return _recombine(live, offset)


def scale(index: Index, factor: Size) -> Index:
    """``index * factor``."""
    if factor == 0:
        return ZERO
    return Index(tuple((atom, f * factor) for atom, f in index.terms), index.offset * factor)


def bounds(index: Index) -> tuple[int, int] | None:
    """Smallest and largest value over all axes; None where a size is symbolic."""
    if not isinstance(index.offset, int):
        return None
    low = high = index.offset
    for atom, factor in index.terms:
        reach = _atom_bounds(atom)
        if reach is None or not isinstance(factor, int):
            return None
        ends = (reach[0] * factor, reach[1] * factor)
        low, high = low + min(ends), high + max(ends)
    return low, high


def floordiv(index: Index, by: Size) -> Index:
    """``index // by``, rounded down."""
    if by == 1:
        return index
    if not isinstance(by, int):
        raise UnsupportedError(f"no reshape that divides by the symbolic size {by}")
    whole, rest = _split(index, by)
    reach = bounds(rest)
    if reach is not None and reach[0] >= 0 and reach[1] < by:
        return whole
    if len(rest.terms) == 1 and rest.offset == 0 and rest.terms[0][1] == 1:
        atom = rest.terms[0][0]
        if isinstance(atom, Div):
            return add(whole, _atom(Div(atom.inner, atom.by * by)))
    return add(whole, _atom(Div(rest, by)))


def modulo(index: Index, by: Size) -> Index:
    """``index % by``, never negative."""
    if by == 1:
        return ZERO
    if not isinstance(by, int):
        raise UnsupportedError(f"no reshape that divides by the symbolic size {by}")
    _, rest = _split(index, by)
    reach = bounds(rest)
    if reach is not None and reach[0] >= 0 and reach[1] < by:
        return rest
    return _atom(Mod(rest, by))


def replaced(index: Index, to: Mapping[Axis, Index]) -> Index:
    """``index`` with other expressions in place of some axes; no position in it is computed."""
    return add(
        index.offset, *(scale(_replaced_atom(atom, to), factor) for atom, factor in index.terms)
    )


def _replaced_atom(atom: Atom, to: Mapping[Axis, Index]) -> Index:
    if isinstance(atom, Axis):
        return to.get(atom, of_axis(atom))
    if isinstance(atom, Dynamic):
        raise UnsupportedError(f"a computed position {atom} over other axes")
    inner = replaced(atom.inner, to)
    return floordiv(inner, atom.by) if isinstance(atom, Div) else modulo(inner, atom.by)


def linearise(index: Iterable[Index], shape: Iterable[Size]) -> Index:
    """The position in row-major order of an element of an array of ``shape``."""
    sizes = tuple(shape)
    return add(*(scale(part, product(sizes[at + 1 :])) for at, part in enumerate(tuple(index))))


def delinearise(position: Index, shape: tuple[Size, ...]) -> tuple[Index, ...]:
    """The element at a row-major position of an array of ``shape``."""
    parts: list[Index] = []
    for at, size in enumerate(shape):
        if size == 1:
            parts.append(ZERO)
            continue
        part = floordiv(position, product(shape[at + 1 :]))
        leading = all(s == 1 for s in shape[:at])
        parts.append(part if leading else modulo(part, size))
    return tuple(parts)


def axes_of(index: Index) -> frozenset[Axis]:
    """Every axis the expression depends on."""
    found: set[Axis] = set()
    for atom, _ in index.terms:
        found |= _axes_of_atom(atom)
    return frozenset(found)


def dynamics_of(index: Index) -> list[Dynamic]:
    """Every computed position inside the expression, in order."""
    found: list[Dynamic] = []
    for atom, _ in index.terms:
        if isinstance(atom, Dynamic):
            found.append(atom)
        elif not isinstance(atom, Axis):
            found += dynamics_of(atom.inner)
    return found


def _axes_of_atom(atom: Atom) -> frozenset[Axis]:
    if isinstance(atom, Axis):
        return frozenset({atom})
    return atom.axes if isinstance(atom, Dynamic) else axes_of(atom.inner)


def factor_of(index: Index, axis: Axis) -> Size | None:
    """The constant step of ``index`` along ``axis``; None where it is not constant."""
    step: Size = 0
    for atom, factor in index.terms:
        if atom == axis:
            step = factor
        elif not isinstance(atom, Axis) and axis in _axes_of_atom(atom):
            return None
    return step


def _atom(atom: Atom) -> Index:
    return Index(((atom, 1),))


def _atom_bounds(atom: Atom) -> tuple[int, int] | None:
    if isinstance(atom, Axis | Dynamic):
        return (0, max(0, atom.extent - 1)) if isinstance(atom.extent, int) else None
    if isinstance(atom, Mod):
        return 0, atom.by - 1
    inner = bounds(atom.inner)
    return None if inner is None else (inner[0] // atom.by, inner[1] // atom.by)


def _split(index: Index, by: int) -> tuple[Index, Index]:
    """``index`` as ``whole * by + rest``, moving every term that divides into ``whole``."""
    whole: list[tuple[Atom, Size]] = []
    rest: list[tuple[Atom, Size]] = []
    for atom, factor in index.terms:
        if isinstance(factor, int) and factor % by == 0:
            whole.append((atom, factor // by))
        else:
            rest.append((atom, factor))
    if not isinstance(index.offset, int):
        return Index(tuple(whole)), Index(tuple(rest), index.offset)
    quotient, left = divmod(index.offset, by)
    reach = bounds(Index(tuple(rest), left))
    if reach is not None and reach[0] < 0:  # emitters divide what is not negative
        quotient, left = quotient + reach[0] // by, left - reach[0] // by * by
    return Index(tuple(whole), quotient), Index(tuple(rest), left)


def _recombine(terms: dict[Atom, Size], offset: Size) -> Index:
    """Replace ``(e // c) * c * f + (e % c) * f`` by ``e * f`` until nothing changes."""
    for atom, factor in terms.items():
        if not isinstance(atom, Mod):
            continue
        for partner, other in terms.items():
            joined = _join(atom, factor, partner, other)
            if joined is None:
                continue
            left = {a: f for a, f in terms.items() if a not in (atom, partner)}
            return add(Index(_sorted(left), offset), joined)
    return Index(_sorted(terms), offset)


def _join(low: Mod, factor: Size, high: Atom, other: Size) -> Index | None:
    if other != factor * low.by:
        return None
    if isinstance(high, Div) and high.by == low.by and high.inner == low.inner:
        return scale(low.inner, factor)
    if isinstance(high, Mod) and high.inner == floordiv(low.inner, low.by):
        return scale(modulo(low.inner, low.by * high.by), factor)
    if isinstance(high, Div) and floordiv(low.inner, low.by) == _atom(high):
        return scale(low.inner, factor)
    return None


def _sorted(terms: Mapping[Atom, Size]) -> tuple[tuple[Atom, Size], ...]:
    return tuple(sorted(terms.items(), key=lambda item: str(item[0])))
