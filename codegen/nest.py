"""Index expressions and scalar operations in, the loop-nest IR out.

A ``Nest`` is one kernel before any decision about loops: its axes, and for each stored value the
expression to compute at every point. Expressions are a DAG; a ``Reduce`` brings axes of its own.
Emitters (vector LLVM, Numba source) spell the same nest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.index import Axis, Index, axes_of, dynamics_of
from ir.dims import Size
from ir.graph import Location
from ir.types import DType, short

LANES = 16  # batch elements side by side in a "lanes" buffer, and in every vector


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory for one array of logical ``shape``.

    ``batch`` None: row-major. Otherwise "lanes": axis ``batch`` of extent N is split into
    ``[ceil(N / 16)] ... [16]``, the other axes row-major between. ``strips``: along these axes
    there is room for so many elements only, those of the strip that is being computed.
    """

    name: str
    dtype: DType
    shape: tuple[Size, ...]
    batch: int | None = None
    strips: tuple[tuple[int, int], ...] = ()
    own: bool = False  # every thread has one of its own

    @property
    def room(self) -> tuple[Size, ...]:
        """How many elements there is room for along each axis.

        The rows of a strip are one longer than their elements: rows a power of two apart would
        all meet in the same few places of the first cache. So are those of a thread's own array,
        by a vector.
        """
        if self.own:
            return (*self.shape[:-1], self.shape[-1] + LANES)
        held = dict(self.strips)
        sizes = [held.get(axis, size) for axis, size in enumerate(self.shape)]
        return (*sizes[:-1], sizes[-1] + 1) if held else tuple(sizes)

    def __str__(self) -> str:
        lanes = "" if self.batch is None else f" lanes on axis {self.batch}"
        lanes = f"{lanes}, one for each thread" if self.own else lanes
        return f"{self.name}: {short(self.dtype)}{list(self.shape)}{lanes}"


class Expr:
    """A value at one point of the nest. Equal expressions are equal objects by content."""

    if TYPE_CHECKING:  # fields or properties of every subclass

        @property
        def dtype(self) -> DType: ...

        @property
        def args(self) -> tuple[Expr, ...]: ...


class Leaf(Expr):
    """An expression without operands."""

    args = ()


@dataclass(frozen=True)
class Const(Leaf):
    value: float | int | bool
    dtype: DType

    def __hash__(self) -> int:
        return hash((str(self.value), self.dtype))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and (str(self.value), self.dtype) == (
            str(other.value),
            other.dtype,
        )


@dataclass(frozen=True)
class Load(Expr):
    """An element of a buffer; its operands are the positions computed for it, if any."""

    buffer: Buffer
    index: tuple[Index, ...]

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype

    @property
    def args(self) -> tuple[Expr, ...]:
        return computed_positions(self.index)


@dataclass(frozen=True)
class Position(Expr):
    """An index as a value."""

    index: Index
    dtype: DType

    @property
    def args(self) -> tuple[Expr, ...]:
        return computed_positions((self.index,))


@dataclass(frozen=True)
class SizeValue(Leaf):
    """A (symbolic) size as a value."""

    size: Size
    dtype: DType


@dataclass(frozen=True)
class Condition:
    """``0 <= index < size``, and ``index % divisor == 0``."""

    index: Index
    size: Size
    divisor: int = 1


@dataclass(frozen=True)
class Guard(Expr):
    """``body`` where every condition holds, ``fill`` elsewhere; ``body`` is not read there."""

    conditions: tuple[Condition, ...]
    body: Expr
    fill: Expr
    _hash: int = field(default=0, repr=False, compare=False)

    @property
    def dtype(self) -> DType:
        return self.body.dtype

    @property
    def args(self) -> tuple[Expr, ...]:
        positions = computed_positions(tuple(c.index for c in self.conditions))
        return (self.body, self.fill, *positions)

    def __hash__(self) -> int:
        return _cached_hash(self, (self.conditions, self.body, self.fill))


@dataclass(frozen=True)
class Apply(Expr):
    """An elementwise op of the table; or ``threefry``: key words and a position; or ``muladd``:
    two factors and what their product is added to."""

    op: str
    args: tuple[Expr, ...]
    dtype: DType
    _hash: int = field(default=0, repr=False, compare=False)

    def __hash__(self) -> int:
        return _cached_hash(self, (self.op, self.args, self.dtype))


@dataclass(frozen=True)
class Reduce(Expr):
    """``kind`` (sum, prod, max, min, argmax, argmin) of ``body`` over ``axes``, in order."""

    kind: str
    axes: tuple[Axis, ...]
    body: Expr
    dtype: DType
    _hash: int = field(default=0, repr=False, compare=False)

    @property
    def args(self) -> tuple[Expr, ...]:
        return (self.body,)

    def __hash__(self) -> int:
        return _cached_hash(self, (self.kind, self.axes, self.body))


@dataclass(frozen=True, eq=False)
class Root:
    """``buffer[index] = value`` at every point of the nest.

    Roots of different ``phase`` have nothing in common: they are computed one after the other.
    ``within`` are loops of reductions: the root is stored at each of their points too.
    """

    buffer: Buffer
    index: tuple[Index, ...]
    value: Expr
    phase: int = 0
    within: tuple[Axis, ...] = ()


@dataclass(frozen=True, eq=False)
class Nest:
    """One kernel: for every point of ``axes`` store every root.

    ``batch`` is the axis that runs over the batch, if one does; ``rows`` the axis along which
    operands were laid out for the lanes; ``contracts`` says that it is a contraction's, and
    ``comment`` what is fused. Along the axes of ``strips`` the kernel is run a few points at a
    time, by turns with the kernels before and after it (strips.py); so it is at each point of
    ``turns``, ``chained`` of which follow one another on one thread (cut.py).
    """

    name: str
    axes: tuple[Axis, ...]
    roots: tuple[Root, ...]
    batch: Axis | None = None
    loc: Location | None = None
    comment: str = ""
    rows: Axis | None = None
    contracts: bool = False
    strips: tuple[tuple[Axis, int], ...] = ()
    turns: tuple[Axis, ...] = ()
    chained: int = 1
    # the first nest that differs from this one in its arrays alone; ``replace`` forgets it
    like: Nest | None = field(default=None, init=False, repr=False)

    def likened(self, other: Nest) -> Nest:
        """This nest, which was made from ``other`` by changing names and buffers only."""
        object.__setattr__(self, "like", other.first)
        return self

    @property
    def first(self) -> Nest:
        """The nest that stands for all that differ in their arrays alone."""
        return self if self.like is None else self.like

    @property
    def is_copy(self) -> bool:
        """Whether the kernel only stores elements of one buffer in another."""
        return all(isinstance(root.value, Load) for root in self.roots)

    @cached_property
    def loads(self) -> list[Load]:
        """Every distinct load of the kernel."""
        return [e for e in walk([r.value for r in self.roots]) if isinstance(e, Load)]

    @cached_property
    def buffers(self) -> list[Buffer]:
        """Buffers read, then written, each once: the order of the kernel's arguments."""
        used = [load.buffer for load in self.loads] + [root.buffer for root in self.roots]
        return list(dict.fromkeys(used))


def computed_positions(index: tuple[Index, ...]) -> tuple[Expr, ...]:
    """The values that an element's place depends on."""
    found = [atom.value for part in index for atom in dynamics_of(part)]
    return tuple(value for value in found if isinstance(value, Expr))


def walk(roots: Sequence[Expr]) -> Iterator[Expr]:
    """Every expression below ``roots`` once, outermost first."""
    seen: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        expr = stack.pop()
        if id(expr) in seen:
            continue
        seen.add(id(expr))
        yield expr
        stack.extend(reversed(expr.args))


def free_axes(expr: Expr, memo: dict[int, frozenset[Axis]]) -> frozenset[Axis]:
    """The axes that the expression's value depends on (a reduction binds its own)."""
    known = memo.get(id(expr))
    if known is not None:
        return known
    found: frozenset[Axis] = frozenset()
    if isinstance(expr, Load):
        found = found.union(*(axes_of(part) for part in expr.index))
    elif isinstance(expr, Position):
        found = axes_of(expr.index)
    elif isinstance(expr, Guard):
        found = found.union(*(axes_of(c.index) for c in expr.conditions))
    for arg in expr.args:
        found |= free_axes(arg, memo)
    if isinstance(expr, Reduce):
        found -= set(expr.axes)
    memo[id(expr)] = found
    return found


def identity_of(kind: str, dtype: DType) -> Any:
    """The value that leaves a reduction unchanged."""
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    largest = kind in ("min", "argmin")
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    if dtype.kind == "b":
        return largest
    whole = np.iinfo(str(dtype))
    return whole.max if largest else whole.min


def _cached_hash(expr: Any, content: tuple[Any, ...]) -> int:
    if expr._hash == 0:
        object.__setattr__(expr, "_hash", hash(content) or 1)
    return int(expr._hash)
