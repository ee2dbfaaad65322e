"""A contraction's nest in, the operands that it should read in another order out.

Vector lanes read neighbours, so each operand that moves along the lanes should lie with that axis
innermost. Where the batch is in the lanes that is "lanes" order, or rows where it is the batch
that is summed over; elsewhere it is a copy whose innermost dimension is the lanes' axis. A copy
costs one pass over the operand, and pays where every element is used many times.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import prod

from codegen.index import Axis, Index, axes_of, factor_of, linearise, of_axis
from codegen.lanes import contiguous_axis, contraction_axis, length, turned_axis, vector_axis
from codegen.nest import LANES, Apply, Buffer, Expr, Load, Nest, Reduce, Root, free_axes, walk
from ir.graph import Location, Node

SMALL_BATCH = 8  # below this many rows the lanes come from another axis
LONG_SUM = 32 * LANES  # products of one result, of which the lanes may each sum up a part
LARGE = 1 << 14  # elements of an array that is worth a copy though each is used once
REUSED = 12  # an operand whose elements are each used this often is worth a copy


@dataclass(frozen=True)
class Order:
    """``kind`` "lanes" (the batch in blocks of sixteen), "rows" (row-major) or "inner" (that
    dimension innermost), by ``axis``."""

    kind: str
    axis: int


@dataclass(frozen=True, eq=False)
class Copy:
    """A node's value once more, in ``order``: its dimensions stored as ``dims``, by ``nest``."""

    node: Node
    order: Order
    buffer: Buffer
    dims: tuple[int, ...]
    nest: Nest

    def load(self, index: tuple[Index, ...]) -> Load:
        """The copy of the node's element at ``index``."""
        return Load(self.buffer, tuple(index[at] for at in self.dims))


def copy_of(node: Node, old: Buffer, order: Order, name: str) -> Copy:
    """The copy of ``node``, which lies in ``old``, in another order."""
    dims = tuple(range(node.type.rank))
    if order.kind == "inner":
        dims = (*(at for at in dims if at != order.axis), order.axis)
    shape = tuple(node.shape[at] for at in dims)
    new = Buffer(name, node.dtype, shape, order.axis if order.kind == "lanes" else None)
    return Copy(node, order, new, dims, _copying(old, new, dims, order, node.loc))


def _copying(
    old: Buffer, new: Buffer, dims: tuple[int, ...], order: Order, loc: Location | None
) -> Nest:
    """The kernel that stores ``old`` in ``new``, its dimensions as ``dims``."""
    axes = tuple(Axis(f"i{at}", size) for at, size in enumerate(old.shape))
    index = tuple(of_axis(axis) for axis in axes)
    words = {"rows": "row-major", "lanes": "lanes", "inner": f"dimension {order.axis} innermost"}
    return Nest(
        f"copy_{new.name}",
        tuple(axes[at] for at in dims if axes[at].extent != 1),
        (Root(new, tuple(index[at] for at in dims), Load(old, index)),),
        None if order.kind == "inner" else axes[order.axis],
        loc,
        f"{old.name} in {words[order.kind]} order",
    )


def by_lanes(
    nest: Nest, state: Collection[Buffer], fresh: Callable[[str], str]
) -> tuple[Nest, list[Nest]]:
    """The nest with large results stored as its lanes lie, and the copies of them into rows.

    A sum's tile is chosen for its operands, so that it cannot be turned in registers: stored into
    rows, every lane would go to a row of its own, by a cache line each. ``state`` is stored where
    it belongs. ``fresh`` makes a name.
    """
    new: dict[Buffer, Buffer] = {}
    for buffer in dict.fromkeys(root.buffer for root in nest.roots if root.buffer not in state):
        tag = _stored_across(nest, buffer)
        if tag is not None:
            name = fresh(f"{buffer.name}_lanes")
            new[buffer] = Buffer(name, buffer.dtype, buffer.shape, tag)
    if not new:
        return nest, []
    roots = tuple(replace(r, buffer=new.get(r.buffer, r.buffer)) for r in nest.roots)
    copies = []
    for old, lanes in new.items():
        dims = tuple(range(len(old.shape)))
        order = Order("rows", lanes.batch or 0)
        copies.append(_copying(lanes, old, dims, order, nest.loc))
    return replace(nest, roots=roots), copies


def _stored_across(nest: Nest, buffer: Buffer) -> int | None:
    """The batch's dimension in a large array in rows that would be stored lane by lane."""
    reduces = [e for e in _values(nest) if isinstance(e, Reduce)]
    known = [size for size in buffer.shape if isinstance(size, int)]
    large = len(known) == len(buffer.shape) and prod(known) >= LARGE and known[-1] >= LANES
    written = [root for root in nest.roots if root.buffer is buffer]
    plain = buffer.batch is None and buffer.dtype.itemsize == 4
    if nest.batch is None or not (large and plain) or any(root.within for root in written):
        return None
    if vector_axis(nest, reduces) != nest.batch or turned_axis(nest, nest.batch) is not None:
        return None
    tags = {_only(root, nest.batch) for root in written}
    tag = tags.pop() if len(tags) == 1 else None
    return None if tag is None or tag == len(buffer.shape) - 1 else tag


def _only(root: Root, batch: Axis) -> int | None:
    """The dimension whose index is the batch, where no other moves with it."""
    dims = [at for at, part in enumerate(root.index) if batch in axes_of(part)]
    return dims[0] if len(dims) == 1 and root.index[dims[0]] == of_axis(batch) else None


def wanted_orders(
    nest: Nest, owner: Mapping[Buffer, Node], tags: Mapping[Node, int | None]
) -> dict[Node, Order]:
    """What the contraction should read in which other order; ``tags`` are the batch axes."""
    rows = contraction_axis(nest)
    found: dict[Node, Order] = {}
    for load in nest.loads:
        node = owner[load.buffer]
        if node in found or node.type.rank < 2:
            continue
        order = _batch_order(nest, load, tags[node], rows)
        lanes = rows or _written_axis(nest)
        if order is None and lanes is not None and load.buffer.batch is None:
            order = _inner_order(nest, load, lanes)
        # not for one row of many
        if order is not None and (_uses(nest, load) >= 1 or _is_beside(nest, load, order)):
            found[node] = order
    return found


def _written_axis(nest: Nest) -> Axis | None:
    """Where every operand lies along the sum (a product with a transpose): the axis of the result's
    rows, along which a copy of one operand can lie."""
    if nest.batch is not None:
        return None
    written = (contiguous_axis(nest, Load(root.buffer, root.index)) for root in nest.roots)
    long = (axis for axis in written if axis is not None and length(axis) >= 2 * LANES)
    return next(long, None)


def _batch_order(nest: Nest, load: Load, tag: int | None, rows: Axis | None) -> Order | None:
    """Lanes for an operand that keeps the batch, rows for one that is summed over it."""
    if tag is None:
        return None
    size = load.buffer.shape[tag]
    if isinstance(size, int) and size < SMALL_BATCH:
        return None
    lanes = load.buffer.batch is not None
    if nest.batch is not None:
        swap = not lanes and nest.batch in axes_of(load.index[tag])
    elif rows is not None:
        swap = lanes and contiguous_axis(nest, load) == rows
    else:
        swap = not lanes and bool(axes_of(load.index[tag]))
    return Order("rows" if lanes else "lanes", tag) if swap else None


def _inner_order(nest: Nest, load: Load, lanes: Axis) -> Order | None:
    """The lanes' dimension innermost, where it is not and every element is used often."""
    dims = [at for at, part in enumerate(load.index) if lanes in axes_of(part)]
    if len(dims) != 1 or factor_of(load.index[dims[0]], lanes) != 1 or load.args:
        return None
    if factor_of(linearise(load.index, load.buffer.shape), lanes) == 1:
        return None
    return Order("inner", dims[0]) if _uses(nest, load) >= REUSED else None


def _is_beside(nest: Nest, load: Load, order: Order) -> bool:
    """Whether every result is put together with an element of a large array, which lies across the
    lanes: turned sixteen rows at a time, a copy is made quicker than the elements are read."""
    sums = [e.body for e in _values(nest) if isinstance(e, Reduce)]
    known = all(isinstance(size, int) for size in load.buffer.shape)
    size = prod(length(axis) for axis in nest.axes)
    whole = known and prod(map(int, load.buffer.shape)) == size >= LARGE  # type: ignore[arg-type]
    return order.kind == "lanes" and whole and not any(e is load for e in walk(sums))


def _uses(nest: Nest, load: Load) -> float:
    """How often the contractions of a nest read each element of a load's buffer."""
    memo: dict[int, frozenset[Axis]] = {}
    points = 0
    for reduce in (e for e in _values(nest) if isinstance(e, Reduce)):
        if any(e is load for e in walk([reduce.body])):
            axes = free_axes(reduce.body, memo)
            points = max(points, prod(length(axis) for axis in axes))
    size = prod(s if isinstance(s, int) else 4 * LANES for s in load.buffer.shape)
    return points / max(size, 1)


def _values(nest: Nest) -> list[Expr]:
    return list(walk([root.value for root in nest.roots]))


def summed_lanes(nest: Nest) -> Axis | None:
    """The batch, where a contraction over it may leave both operands as they lie, in lanes.

    Then sixteen sums are kept for every result, and added up in the end: worth it where each is
    long. Lanes that do not exist would have to be left out one by one: whole blocks only.
    """
    sums = [e for e in _values(nest) if isinstance(e, Reduce)]
    if len(sums) != 1 or sums[0].kind != "sum":
        return None
    body = sums[0].body
    if not isinstance(body, Apply) or body.op != "mul":
        return None
    loads = [e for e in body.args if isinstance(e, Load) and e.buffer.batch is not None]
    if len(loads) != 2:
        return None
    rows = {load.index[load.buffer.batch] for load in loads if load.buffer.batch is not None}
    for axis in sums[0].axes:
        whole = isinstance(axis.extent, int) and axis.extent % LANES == 0
        if whole and rows == {of_axis(axis)}:
            long = prod(length(a) for a in sums[0].axes) >= LONG_SUM
            return axis if long else None
    return None


def order_name(order: Order) -> str:
    """A word for buffers' names."""
    return f"by{order.axis}" if order.kind == "inner" else order.kind
