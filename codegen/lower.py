"""A node and an index in, the expression of that element out: fusion by inlining.

A node that has a buffer is loaded; any other is computed where it is needed, by its op's rule in
``RULES``. Movement ops only rewrite the index; reductions and contractions open axes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd

from codegen import positions
from codegen.index import (
    Axis,
    Index,
    add,
    bounds,
    delinearise,
    floordiv,
    linearise,
    modulo,
    of_axis,
    scale,
)
from codegen.mixtures import mixtures
from codegen.nest import (
    Apply,
    Buffer,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Position,
    Reduce,
    SizeValue,
)
from codegen.relayout import Copy
from ir.dims import Size, product
from ir.errors import UnsupportedError
from ir.graph import Node
from ir.ops.contraction import free_axes
from ir.types import I64, U32

At = tuple[Index, ...]


class Lowering:
    """Lowers elements of one kernel: knows the buffers and names the axes it opens."""

    def __init__(
        self,
        buffers: Mapping[Node, Buffer],
        inline: frozenset[Node] = frozenset(),
        copies: Mapping[Node, Copy] | None = None,
        rows: Mapping[Node, tuple[Axis, ...]] | None = None,
    ) -> None:
        """``rows``: reductions that share the loops along a row, and those loops."""
        self._rows = rows or {}
        self._buffers, self._inline, self._copies = buffers, inline, copies or {}
        self.loaded: dict[Buffer, Node] = {}  # a donated buffer holds two nodes, one at a time
        self._memo: dict[tuple[Node, At], Expr] = {}
        self._siblings: dict[tuple[Node, tuple[int, ...], At], dict[int, Axis]] = {}
        self._axes = 0

    def element(self, node: Node, index: At) -> Expr:
        """``node[index]``, loaded where the node has a buffer and is not to be computed here."""
        key = (node, index)
        found = self._memo.get(key)
        if found is None:
            if node in self._copies and node not in self._inline:
                found = self._copies[node].load(index)
            elif node in self._buffers and node not in self._inline:
                found = Load(self._buffers[node], index)
                self.loaded[self._buffers[node]] = node
            elif node.op.family == "elementwise":
                args = tuple(self.element(source, index) for source in node.inputs)
                found = Apply(node.op.name, args, node.dtype)
            elif node.op.name in RULES:
                found = RULES[node.op.name](self, node, index)
            else:
                raise UnsupportedError(f"no lowering for op {node.op.name} ({node.loc})")
            self._memo[key] = found
        return found

    def sibling_axes(self, source: Node, axes: tuple[int, ...], at: At) -> dict[int, Axis]:
        """The axes that every reduction of one value shares (a maximum and its position)."""
        key = (source, axes, at)
        if key not in self._siblings:
            self._siblings[key] = {a: self.axis(source.shape[a]) for a in axes}
        return self._siblings[key]

    def row_axes(self, node: Node) -> dict[int, Axis]:
        """The loops along the row that a reduction shares with others of its kernel."""
        return dict(zip(node.attrs["axes"], self._rows.get(node, ()), strict=False))

    def axis(self, extent: object) -> Axis:
        """A fresh reduction axis."""
        self._axes += 1
        return Axis(f"r{self._axes}", extent)  # type: ignore[arg-type]


def _guarded(conditions: list[Condition], body: Expr, fill: Expr) -> Expr:
    """``body`` under the conditions that are not always true."""
    open_ = []
    for condition in conditions:
        reach = bounds(condition.index)
        inside = (
            reach is not None
            and isinstance(condition.size, int)
            and reach[0] >= 0
            and reach[1] < condition.size
        )
        size = condition.size
        if reach is not None and isinstance(size, int) and (reach[1] < 0 or reach[0] >= size):
            return fill  # nowhere
        if not inside or condition.divisor != 1:
            open_.append(condition)
    return Guard(tuple(open_), body, fill) if open_ else body


def _constant(low: Lowering, node: Node, at: At) -> Expr:
    return Const(node.attrs["value"], node.dtype)


def _size(low: Lowering, node: Node, at: At) -> Expr:
    return SizeValue(node.attrs["size"], node.dtype)


def _iota(low: Lowering, node: Node, at: At) -> Expr:
    return Position(at[node.attrs["axis"]], node.dtype)


def _random_bits(low: Lowering, node: Node, at: At) -> Expr:
    key = node.inputs[0]
    words = tuple(low.element(key, (Index((), word),)) for word in (0, 1))
    return Apply("threefry", (*words, Position(linearise(at, node.shape), I64)), U32)


def _reshape(low: Lowering, node: Node, at: At) -> Expr:
    """Only dimensions that are merged or split go through a flat position."""
    source = node.inputs[0]
    index: list[Index] = []
    start = 0
    for size, stop in _cuts(source.shape, node.shape):
        old = source.shape[len(index) : size]
        index += delinearise(linearise(at[start:stop], node.shape[start:stop]), old)
        start = stop
    return low.element(source, tuple(index))


def _cuts(old: tuple[Size, ...], new: tuple[Size, ...]) -> list[tuple[int, int]]:
    """Where both shapes' dimensions so far hold equally many elements."""
    found: list[tuple[int, int]] = []
    done = 0
    for at in range(1, len(old)):
        total = product(old[:at])
        same = (to for to in range(done, len(new)) if product(new[:to]) == total)
        stop = next(same, None)
        if stop is not None:
            found.append((at, stop))
            done = stop
    return [*found, (len(old), len(new))]


def _transpose(low: Lowering, node: Node, at: At) -> Expr:
    perm = node.attrs["perm"]
    return low.element(node.inputs[0], tuple(at[perm.index(a)] for a in range(len(perm))))


def _broadcast(low: Lowering, node: Node, at: At) -> Expr:
    source = node.inputs[0]
    index = tuple(
        Index() if size == 1 else at[axis]
        for size, axis in zip(source.shape, node.attrs["axes"], strict=True)
    )
    return low.element(source, index)


def _slice(low: Lowering, node: Node, at: At) -> Expr:
    start, step = node.attrs["start"], node.attrs["step"]
    index = tuple(add(scale(i, s), a) for i, a, s in zip(at, start, step, strict=True))
    return low.element(node.inputs[0], index)


def _pad(low: Lowering, node: Node, at: At) -> Expr:
    source, attrs = node.inputs[0], node.attrs
    index: list[Index] = []
    conditions: list[Condition] = []
    for i, size, before, inner in zip(
        at, source.shape, attrs["low"], attrs["interior"], strict=True
    ):
        moved, by = add(i, -before), inner + 1
        if (before, inner) != (0, 0) or moved != i or size != node.shape[len(index)]:
            conditions.append(Condition(moved, (size - 1) * by + 1, by))
        index.append(_exact_div(moved, by))
    body = low.element(source, tuple(index))
    return _guarded(conditions, body, Const(attrs["value"], node.dtype))


def _exact_div(index: Index, by: int) -> Index:
    """``index // by`` where a condition already says that it divides."""
    return index if by == 1 else floordiv(index, by)


def _flip(low: Lowering, node: Node, at: At) -> Expr:
    axes = node.attrs["axes"]
    index = tuple(
        add(scale(i, -1), size - 1) if a in axes else i
        for a, (i, size) in enumerate(zip(at, node.shape, strict=True))
    )
    return low.element(node.inputs[0], index)


def _concatenate(low: Lowering, node: Node, at: At) -> Expr:
    axis = node.attrs["axis"]
    end = node.shape[axis]
    parts: list[tuple[Condition, Expr]] = []
    for source in reversed(node.inputs):
        end = end - source.shape[axis]
        moved = add(at[axis], end * -1)
        index = (*at[:axis], moved, *at[axis + 1 :])
        parts.append((Condition(moved, source.shape[axis]), low.element(source, index)))
    out: Expr = Const(0, node.dtype)
    for condition, body in parts:
        out = Guard((condition,), body, out)
    return out


def _window(low: Lowering, node: Node, at: At) -> Expr:
    attrs, rank = node.attrs, node.inputs[0].type.rank
    index = list(at[:rank])
    for place, axis in enumerate(attrs["axes"]):
        inner = scale(at[rank + place], attrs["dilation"][place])
        index[axis] = add(scale(at[axis], attrs["stride"][place]), inner)
    return low.element(node.inputs[0], tuple(index))


def _fold(low: Lowering, node: Node, at: At) -> Expr:
    source, attrs = node.inputs[0], node.attrs
    rank = node.type.rank
    index, inner, opened = list(at), [], []
    conditions: list[Condition] = []
    for place, axis in enumerate(attrs["axes"]):
        size, stride, dilation = (attrs[n][place] for n in ("size", "stride", "dilation"))
        if size == stride and dilation == 1:
            offset, outer = modulo(at[axis], stride), floordiv(at[axis], stride)
            conditions.append(Condition(outer, source.shape[axis]))
        else:
            tap = _taps(low, at[axis], size, stride, dilation)
            if tap is None:
                return Const(0.0, node.dtype)
            tapped, offset, exact = tap
            opened.append(tapped)
            moved = add(at[axis], scale(offset, -dilation))
            outer = _exact_div(moved, stride)
            last = (source.shape[axis] - 1) * stride + 1
            conditions.append(Condition(moved, last, 1 if exact else stride))
        index[axis] = outer
        inner.append(offset)
    body = low.element(source, (*index[:rank], *inner))
    zero = Const(0.0, node.dtype)
    if not opened:
        return _guarded(conditions, body, zero)
    axes = tuple(opened)
    if isinstance(body, Reduce) and body.kind == "sum":
        axes, body = (*body.axes, *axes), body.body
    return Reduce("sum", axes, _guarded(conditions, body, zero), node.dtype)


def _taps(
    low: Lowering, at: Index, size: int, stride: int, dilation: int
) -> tuple[Axis, Index, bool] | None:
    """The taps of a window that may reach ``at``: (the axis opened, tap, whether each one does).

    Where ``at`` is known up to whole strides, only every so many taps do; None where none does.
    """
    start = at.offset
    whole = all(isinstance(by, int) and by % stride == 0 for _, by in at.terms)
    if not isinstance(start, int) or not whole:
        axis = low.axis(size)
        return axis, of_axis(axis), stride == 1
    step = stride // gcd(stride, dilation)
    reach = [k for k in range(min(step, size)) if (start - k * dilation) % stride == 0]
    if not reach:
        return None
    axis = low.axis(-(-(size - reach[0]) // step))
    return axis, add(scale(of_axis(axis), step), reach[0]), True


def _reduction(low: Lowering, node: Node, at: At) -> Expr:
    source = node.inputs[0]
    index: list[Index] = []
    kept = iter(at)
    where = low.row_axes(node) or low.sibling_axes(source, tuple(node.attrs["axes"]), at)
    for a in range(source.type.rank):
        index.append(of_axis(where[a]) if a in where else next(kept))
    opened = [where[a] for a in node.attrs["axes"]]
    body = low.element(source, tuple(index))
    return Reduce(node.op.name, tuple(opened), body, node.dtype)


def _dot(low: Lowering, node: Node, at: At) -> Expr:
    a, b = node.inputs
    (ca, cb), (ba, bb) = node.attrs["contract"], node.attrs["batch"]
    fa, fb = free_axes(a.type.rank, ca, ba), free_axes(b.type.rank, cb, bb)
    opened = tuple(low.axis(a.shape[axis]) for axis in ca)
    left: dict[int, Index] = {axis: of_axis(o) for axis, o in zip(ca, opened, strict=True)}
    right: dict[int, Index] = {axis: of_axis(o) for axis, o in zip(cb, opened, strict=True)}
    places = iter(at)
    for i, j in zip(ba, bb, strict=True):
        left[i] = right[j] = next(places)
    left.update((axis, next(places)) for axis in fa)
    right.update((axis, next(places)) for axis in fb)
    x = low.element(a, tuple(left[i] for i in range(a.type.rank)))
    y = low.element(b, tuple(right[i] for i in range(b.type.rank)))
    return Reduce("sum", opened, Apply("mul", (x, y), node.dtype), node.dtype)


def _mix(low: Lowering, node: Node, at: At) -> Expr:
    """Where the row is known only at run time, each is asked for in turn."""
    axis, rows = node.attrs["axis"], node.attrs["rows"]
    used = [i for i in range(node.inputs[0].shape[axis]) if any(row[i] for row in rows)]
    parts = {
        i: low.element(node.inputs[0], (*at[:axis], Index((), i), *at[axis + 1 :])) for i in used
    }
    values = mixtures(parts, rows, node.dtype)
    row = at[axis].static
    if row is not None:
        return values[row]
    out = values[-1]
    for number in range(len(rows) - 2, -1, -1):
        out = Guard((Condition(add(at[axis], -number), 1),), values[number], out)
    return out


def _cumsum(low: Lowering, node: Node, at: At) -> Expr:
    axis = node.attrs["axis"]
    opened = low.axis(node.shape[axis])
    index = (*at[:axis], of_axis(opened), *at[axis + 1 :])
    way = -1 if node.attrs["reverse"] else 1
    there = add(scale(at[axis], way), scale(of_axis(opened), -way))
    body = _guarded(
        [Condition(there, node.shape[axis])],
        low.element(node.inputs[0], index),
        Const(0, node.dtype),
    )
    return Reduce("sum", (opened,), body, node.dtype)


RULES: Mapping[str, Callable[[Lowering, Node, At], Expr]] = {
    "constant": _constant,
    "size": _size,
    "iota": _iota,
    "random_bits": _random_bits,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast": _broadcast,
    "slice": _slice,
    "pad": _pad,
    "flip": _flip,
    "concatenate": _concatenate,
    "window": _window,
    "fold": _fold,
    "sum": _reduction,
    "prod": _reduction,
    "max": _reduction,
    "min": _reduction,
    "argmax": _reduction,
    "argmin": _reduction,
    "dot": _dot,
    "mix": _mix,
    "cumsum": _cumsum,
    "take": positions.take,
    "put_add": positions.put_add,
    "take_along": positions.take_along,
    "put_along": positions.put_along,
    "rank": positions.rank,
}
