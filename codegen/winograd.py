"""A graph in, the same graph with its dense small convolutions computed by Winograd's algorithm out.

A convolution by ``r`` taps that makes ``m`` results at a time is a product of polynomials: evaluate
both at ``m + r - 1`` points, multiply there, interpolate (S. Winograd 1980; A. Lavin and S. Gray,
Fast Algorithms for Convolutional Neural Networks, 2016). In two dimensions 4x4 results of 3x3 taps
take 36 products instead of 144. The products of all tiles, channels and images at one point are a
matrix product, so that a convolution becomes a batched ``dot`` between ``mix`` nodes; the gradient
of the input is another convolution, that of the weights a ``dot`` over tiles. Results differ from
the direct sum by rounding: about 5e-6 of the largest, where direct sums have 2e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, prod

from codegen.patterns import contraction_of, crop_of
from ir import make
from ir.dims import Size
from ir.graph import Graph, Location, Node, rebuild, with_inputs
from ir.ops.contraction import free_axes
from ir.types import F32

TAPS = (3,)  # sides of the kernels that are computed so
RESULTS = (4, 3, 2)  # of a tile, along each axis
POINTS = (0, 1, -1, 2, -2)  # and infinity
FEWEST_ROWS = 8  # of a batch: tiles are computed with the batch in the lanes
GAIN = 1.4  # of the estimate, below which the direct sum stays
MIXING = 8.0  # multiply-adds that making and storing one element of a transformed tile is worth

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
    points = [Fraction(p) for p in POINTS[: n - 1]]
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


def with_winograd(graph: Graph) -> Graph:
    """``graph`` with every float32 convolution, and gradient of one, that gains by it in tiles."""
    users = graph.users()
    folds: dict[Node, Node] = {}  # what is replaced, a fold or its crop: the dot that it reads
    for node in graph.nodes:
        if node.op.name == "fold":
            dot = contraction_of(node, users, graph.outputs)
            if dot is not None:
                folds[crop_of(node, users, graph.outputs) or node] = dot
    inner = set(folds.values())
    pads: _Pads = {}

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = with_inputs(node, inputs)
        found = None
        if node in folds:
            found = _data_gradient(new, pads)
        elif node.op.name == "dot" and node not in inner:
            found = _forward(new, pads) or _weight_gradient(new, pads)
        return new if found is None else found

    return rebuild(graph, replace)


# -- what is replaced -------------------------------------------------------------------------


def _forward(dot: Node, pads: _Pads) -> Node | None:
    """A convolution: channels and taps are contracted, one axis of the weights is not."""
    contract = dot.attrs["contract"]
    for side in (0, 1):
        images = _windows(dot.inputs[side])
        weight, order = dot.inputs[1 - side], contract[1 - side]
        if images is None or dot.attrs["batch"][0] or weight.type.rank != 4:
            continue
        partner = dict(zip(contract[side], order, strict=True))
        channel = [axis for axis in images.others if axis in partner]
        if len(order) != 3 or len(channel) != 1 or not {4, 5} <= set(partner):
            continue
        (kept,) = free_axes(4, order, ())
        (batch,) = set(images.others) - set(channel)
        x = make.transpose(images.source, (batch, *channel, *images.axes))
        w = make.transpose(weight, (partner[channel[0]], kept, partner[4], partner[5]))
        y = _convolved(x, w, False, dot.loc, pads)
        if y is None:
            return None
        place = {batch: 0, images.axes[0]: 2, images.axes[1]: 3}
        places = [place[axis] for axis in sorted(place)]
        return make.transpose(y, [*places, 1] if side == 0 else [1, *places])
    return None


def _data_gradient(node: Node, pads: _Pads) -> Node | None:
    """A fold of a dot, or its crop: a convolution with the taps the other way round."""
    fold = node.inputs[0] if node.op.name == "slice" else node
    attrs, (inner,) = fold.attrs, fold.inputs
    if not _dense(fold) or inner.type.rank != 6:
        return None
    order = list(range(6))  # for each axis of what is folded the dot's
    while inner.op.name == "transpose":
        order = [inner.attrs["perm"][axis] for axis in order]
        (inner,) = inner.inputs
    (left, right), contract = inner.inputs, inner.attrs["contract"]
    if inner.attrs["batch"][0] or len(contract[0]) != 1:
        return None
    free = [*((0, a) for a in free_axes(left.type.rank, contract[0], ()))]
    free += [*((1, a) for a in free_axes(right.type.rank, contract[1], ()))]
    found = [free[axis] for axis in order]  # (operand, its axis) of each axis that is folded
    rows = [found[axis] for axis in attrs["axes"]]
    others = [axis for axis in range(4) if axis not in attrs["axes"]]
    side = rows[0][0]
    batch = [axis for axis in others if found[axis][0] == side]
    channel = [axis for axis in others if found[axis][0] != side]
    taps = [found[4], found[5]]
    if rows[1][0] != side or len(batch) != 1 or any(operand == side for operand, _ in taps):
        return None
    images, weight = (left, right) if side == 0 else (right, left)
    k = contract[side][0]
    x = make.transpose(images, (found[batch[0]][1], k, rows[0][1], rows[1][1]))
    w = make.transpose(
        weight, (contract[1 - side][0], found[channel[0]][1], taps[0][1], taps[1][1])
    )
    crop = [(0, size) for size in node.shape[:4]]
    if node is not fold:
        crop = list(zip(node.attrs["start"], node.attrs["stop"], strict=True))
    edges = _edges(fold, [crop[axis] for axis in attrs["axes"]])
    if edges is None or any(crop[axis] != (0, node.shape[axis]) for axis in others):
        return None
    (low0, high0), (low1, high1) = edges
    x = make.pad(x, (0, 0, low0, low1), (0, 0, high0, high1))
    y = _convolved(x, w, True, fold.loc, pads)
    if y is None:
        return None
    place = {batch[0]: 0, channel[0]: 1, attrs["axes"][0]: 2, attrs["axes"][1]: 3}
    return make.transpose(y, [place[axis] for axis in range(4)])


def _edges(fold: Node, kept: Sequence[tuple[Size, Size]]) -> list[tuple[int, int]] | None:
    """Zeros before and after each axis of which the fold keeps ``[start, stop)``."""
    found = []
    for size, extent, (start, stop) in zip(
        fold.attrs["size"], fold.attrs["extent"], kept, strict=True
    ):
        if not isinstance(start, int) or not isinstance(stop, int):
            return None
        found.append((size - 1 - start, size - 1 - (extent - stop)))
    return found if all(edge >= 0 for pair in found for edge in pair) else None


def _weight_gradient(dot: Node, pads: _Pads) -> Node | None:
    """A dot over images and places of what the convolution read and of its result's gradient."""
    contract = dot.attrs["contract"]
    for side in (0, 1):
        images, grad = _windows(dot.inputs[side]), dot.inputs[1 - side]
        if images is None or dot.attrs["batch"][0] or grad.type.rank != 4:
            continue
        partner = dict(zip(contract[side], contract[1 - side], strict=True))
        batch = [axis for axis in images.others if axis in partner]
        if len(partner) != 3 or len(batch) != 1 or not set(images.axes) <= set(partner):
            continue
        (kept,) = free_axes(4, contract[1 - side], ())
        (channel,) = set(images.others) - set(batch)
        x = make.transpose(images.source, (*batch, channel, *images.axes))
        places = [partner[axis] for axis in images.axes]
        g = make.transpose(grad, (partner[batch[0]], kept, *places))
        w = _correlated(x, g, images.size, dot.loc, pads)  # [r, r, K, C]
        if w is None:
            return None
        return make.transpose(w, (3, 0, 1, 2) if side == 0 else (2, 3, 0, 1))
    return None


@dataclass(frozen=True)
class _Windows:
    """Square windows, one step apart, over the ``axes`` of ``source``, which has two ``others``."""

    source: Node
    axes: tuple[int, int]
    others: tuple[int, ...]
    size: int


def _windows(node: Node) -> _Windows | None:
    if node.op.name != "window" or node.type.rank != 6 or not _dense(node):
        return None
    axes = node.attrs["axes"]
    others = tuple(axis for axis in range(4) if axis not in axes)
    return _Windows(node.inputs[0], axes, others, node.attrs["size"][0])


def _dense(node: Node) -> bool:
    """Whether a window or fold is square over two axes, of a size that is known, one step apart."""
    attrs = node.attrs
    one = all(step == 1 for step in (*attrs["stride"], *attrs["dilation"]))
    return one and len(attrs["size"]) == 2 and len(set(attrs["size"])) == 1


# -- what replaces it -------------------------------------------------------------------------

_Pads = dict[tuple[Node, tuple[int, ...], tuple[int, ...]], Node]


def _convolved(
    x: Node, w: Node, turned: bool, loc: Location | None, pads: _Pads
) -> Node | None:
    """[N, C, H, W] by taps [C, K, r, r], ``turned`` or not: [N, K, H - r + 1, W - r + 1].

    None where that gains nothing.
    """
    r, sizes = int(w.shape[2]), [int(size) - int(w.shape[2]) + 1 for size in x.shape[2:]]
    channels = int(x.shape[1]), int(w.shape[1])
    m = _best(x, sizes, channels, r)
    if m is None:
        return None
    with_ = transforms(m, r)
    taps = tuple(row[::-1] for row in with_.taps) if turned else with_.taps
    tiles = _tiles(x, m, r, sizes, loc, pads)
    points = _mixed(make.transpose(w, (2, 3, 0, 1)), taps, loc)
    products = _at(make.dot(tiles, points, ((5,), (2,)), ((0, 1), (0, 1))), loc)
    y = _mixed(products, with_.interpolate, loc)  # [m, m, N, rows, columns, K]
    y = _at(make.transpose(y, (2, 5, 3, 4, 0, 1)), loc)
    extent = [int(size) * m for size in y.shape[2:4]]
    y = _at(make.fold(y, (2, 3), (m, m), (m, m), (1, 1), extent), loc)
    return _at(make.slice(y, (0,) * 4, (*y.shape[:2], *sizes), (1,) * 4), loc)


def _correlated(
    x: Node, g: Node, r: int, loc: Location | None, pads: _Pads
) -> Node | None:
    """Images [N, C, H, W] and gradients [N, K, H - r + 1, W - r + 1]: [r, r, K, C]; or None."""
    sizes = [int(size) for size in g.shape[2:]]
    channels = int(x.shape[1]), int(g.shape[1])
    m = _best(x, sizes, channels, r)
    if m is None or [int(size) - r + 1 for size in x.shape[2:]] != sizes:
        return None
    with_ = transforms(r, m)
    tiles = _tiles(x, m, r, sizes, loc, pads)
    more = [-size % m for size in sizes]
    g = _padded(g, (0, 0, *more), pads)
    g = make.window(g, (2, 3), (m, m), (m, m), (1, 1))
    grads = _mixed(make.transpose(g, (4, 5, 0, 2, 3, 1)), with_.taps, loc)
    products = make.dot(grads, tiles, ((2, 3, 4), (2, 3, 4)), ((0, 1), (0, 1)))
    return _mixed(_at(products, loc), with_.interpolate, loc)


def _tiles(
    x: Node, m: int, r: int, sizes: Sequence[int], loc: Location | None, pads: _Pads
) -> Node:
    """Overlapping tiles, transformed: [n, n, N, rows, columns, C] for ``n = m + r - 1``."""
    n = m + r - 1
    x = _padded(x, (0, 0, *(-size % m for size in sizes)), pads)
    tiles = _at(make.window(x, (2, 3), (n, n), (m, m), (1, 1)), loc)
    return _mixed(_at(make.transpose(tiles, (4, 5, 0, 2, 3, 1)), loc), transforms(m, r).tile, loc)


def _mixed(x: Node, rows: Matrix, loc: Location | None) -> Node:
    """The first two axes of ``x`` by ``rows``."""
    return _at(make.mix(_at(make.mix(x, 0, rows), loc), 1, rows), loc)


def _padded(x: Node, high: tuple[int, ...], pads: _Pads) -> Node:
    """``x`` with zeros after it; of a padded array the same node for every reader."""
    if not any(high):
        return x
    low: tuple[int, ...] = (0,) * x.type.rank
    perm = tuple(range(x.type.rank))
    source = x
    if source.op.name == "transpose":
        perm, source = source.attrs["perm"], source.inputs[0]
    inner = [0] * len(perm)
    for at, axis in enumerate(perm):
        inner[axis] = high[at]
    if source.op.name == "pad" and source.attrs["value"] == 0 and not any(source.attrs["interior"]):
        low = source.attrs["low"]
        inner = [a + b for a, b in zip(source.attrs["high"], inner, strict=True)]
        (source,) = source.inputs
    key = (source, tuple(low), tuple(inner))
    if key not in pads:
        pads[key] = _at(make.pad(source, low, inner), x.loc)
    return make.transpose(pads[key], perm)


def _best(x: Node, sizes: Sequence[int], channels: tuple[int, int], r: int) -> int | None:
    """How many results a tile should have along each axis; None where direct sums are as good."""
    rows = x.shape[0]
    small = isinstance(rows, int) and rows < FEWEST_ROWS
    if r not in TAPS or small or x.dtype != F32 or 0 in (*x.shape, *channels):
        return None
    direct = float(prod(sizes) * r * r * prod(channels))
    costs = {
        m: prod(ceil(size / m) for size in sizes)
        * (m + r - 1) ** 2
        * (prod(channels) + MIXING * sum(channels))
        for m in RESULTS
    }
    best = min(costs, key=lambda m: costs[m])
    return best if direct > GAIN * costs[best] else None


def _at(node: Node, loc: Location | None) -> Node:
    return Node(node.op, node.inputs, node.attrs, node.type, loc)
