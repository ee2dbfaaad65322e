"""A graph in, the same graph with its long sums in two stages out.

A sum of many elements into few results would run on one thread, and one accumulator that has
grown large loses the small. So equal parts are summed first, by all threads, and then the parts.
A product of two tall matrices (a weight's gradient over many rows) is cut too: what a register
tile reads of all the rows would not stay in the cache until the next tile reads it.
The parts depend on the sizes alone: results do not depend on the number of threads.
"""

from __future__ import annotations

from math import ceil, prod

from ir import make
from ir.graph import Graph, Node, rebuild, with_inputs

PART = 4096  # elements that one accumulator (of sixteen lanes) sums up
LONG = 16384  # elements of a sum that is worth two stages
FEW = 4  # results that do not occupy the threads
ROWS = 1024  # of two matrices whose product over them is one part
PIECE = 16  # elements of a running sum that are added up anew at each
NARROW = 64  # columns of a matrix that all stay in the cache
INACCURATE = 1 << 17  # elements of a sum that needs two stages whatever the number of results


def split_sums(graph: Graph) -> Graph:
    """``graph`` with long sums (and dots of whole arrays) in stages."""

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = with_inputs(node, inputs)
        found = _split(new)
        if found is None:
            return new
        return Node(found.op, found.inputs, found.attrs, found.type, node.loc)

    return rebuild(graph, replace)


def _split(node: Node) -> Node | None:
    if node.op.name == "dot":
        return _split_rows(node) if node.shape else _split_dot(node)
    if node.op.name == "cumsum":
        return _split_running(node)
    if node.op.name != "sum":
        return None
    (x,), axes = node.inputs, node.attrs["axes"]
    sizes = [x.shape[axis] for axis in axes]
    known = prod(size for size in sizes if isinstance(size, int))
    static = all(isinstance(size, int) for size in sizes)
    results = prod(size for size in node.shape if isinstance(size, int))
    few = results < FEW and all(isinstance(size, int) for size in node.shape)
    if known < (LONG if static else PART) or not (few or known > INACCURATE):
        return None
    first, rest = axes[0], axes[1:]
    inner = prod(size for size in sizes[1:] if isinstance(size, int))
    if rest and inner >= PART // 16 and (not isinstance(sizes[0], int) or sizes[0] >= FEW):
        parts = make.sum(x, rest)
        total = make.sum(parts, (first,))
        return _split(total) or total
    return _cut(x, axes)


def _split_dot(node: Node) -> Node | None:
    """The product of two whole arrays of one order: a sum like any other."""
    a, b = node.inputs
    left, right = node.attrs["contract"]
    if tuple(left) != tuple(right) or tuple(left) != tuple(range(a.type.rank)):
        return None
    if prod(size for size in a.shape if isinstance(size, int)) < LONG:
        return None
    return _split(make.sum(make.mul(a, b), tuple(range(a.type.rank))))


def _split_rows(node: Node) -> Node | None:
    """The product of two matrices over their rows, which several axes count, in parts."""
    contract, axes = node.attrs["contract"], node.inputs[0].type.rank - 1
    leading = tuple(range(axes))
    if axes < 2 or any(tuple(order) != leading for order in contract) or node.type.rank != 2:
        return None
    sizes = node.inputs[0].shape[:axes]
    if not all(isinstance(size, int) for size in (*sizes, *node.shape)):
        return None
    rows, first = prod(map(int, sizes)), int(sizes[0])
    parts = next((p for p in range(rows // ROWS, 1, -1) if first % p == 0), 1)
    if parts == 1 or min(map(int, node.shape)) < NARROW:
        return None
    a, b = (make.reshape(x, (parts, first // parts, *x.shape[1:])) for x in node.inputs)
    inner = tuple(range(1, axes + 1))
    return make.sum(make.dot(a, b, (inner, inner), ((0,), (0,))), (0,))


def _split_running(node: Node) -> Node | None:
    """Running sums: within short pieces, plus those of all pieces before (or after).

    A kernel adds up what every place has before it, which is quadratic in the length of a piece.
    What comes from other pieces stands first, so that the pieces' kernel follows and adds it.
    """
    (x,), axis, reverse = node.inputs, node.attrs["axis"], node.attrs["reverse"]
    size = x.shape[axis]
    if not isinstance(size, int) or size < 4 * PIECE:
        return None
    count, nothing = ceil(size / PIECE), (0,) * x.type.rank
    more = list(nothing)
    more[axis] = count * PIECE - size
    whole = make.pad(x, nothing, more) if any(more) else x
    shape = (*x.shape[:axis], count, PIECE, *x.shape[axis + 1 :])
    pieces = make.reshape(whole, shape)
    running = make.cumsum(make.sum(pieces, (axis + 1,)), axis, reverse)
    running = _split_running(running) or running
    one = list(nothing)
    one[axis] = 1
    low, high = (nothing, one) if reverse else (one, nothing)
    rest = make.pad(_rows(running, axis, int(reverse), count - 1 + int(reverse)), low, high)
    others = tuple(at for at in range(len(shape)) if at != axis + 1)
    total = make.cumsum(pieces, axis + 1, reverse)
    total = make.reshape(make.add(make.broadcast(rest, shape, others), total), whole.shape)
    return total if whole is x else _rows(total, axis, 0, size)


def _cut(x: Node, axes: tuple[int, ...]) -> Node | None:
    """The longest of ``axes`` in parts, and what is left over after the last whole one."""
    sizes = {a: size for a in axes if isinstance(size := x.shape[a], int)}
    if len(sizes) < len(axes):
        return None
    first = max(sizes, key=lambda a: sizes[a])
    size = sizes[first]
    part = max(1, PART * size // prod(sizes.values()))
    count = size // part
    if count < 2 * FEW:
        return None
    whole = count * part
    main = x if whole == size else _rows(x, first, 0, whole)
    shape = (*x.shape[:first], count, part, *x.shape[first + 1 :])
    moved = tuple(axis + (axis >= first) for axis in axes)  # the part, and the other axes
    parts = make.sum(make.reshape(main, shape), moved)
    kept = first - sum(axis < first for axis in axes)
    total = make.sum(parts, (kept,))
    total = _split(total) or total
    if whole == size:
        return total
    return make.add(total, make.sum(_rows(x, first, whole, size), axes))


def _rows(x: Node, axis: int, start: int, stop: int) -> Node:
    low, high = [0] * x.type.rank, list(x.shape)
    low[axis], high[axis] = start, stop
    return make.slice(x, low, high, (1,) * x.type.rank)
