"""A graph in, the same graph with small dense convolutions by Winograd's algorithm out.

A convolution by ``r`` taps that makes ``m`` results at a time is a product of polynomials: evaluate
both at ``m + r - 1`` points, multiply there, interpolate (S. Winograd 1980; A. Lavin and S. Gray,
Fast Algorithms for Convolutional Neural Networks, 2016). In two dimensions 4x4 results of 3x3 taps
take 36 products instead of 144. The products of all tiles, channels and images at one point are a
matrix product, so that a convolution becomes a batched ``dot`` between ``mix`` nodes; the gradient
of the input is another convolution, that of the weights a ``dot`` over tiles. Results differ from
the direct sum by rounding: about 3e-6 of the largest, where direct sums have 3e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from codegen.patterns import contraction_of, crop_of
from codegen.tiles import convolved, correlated, spread
from ir import make
from ir.dims import Size
from ir.graph import Graph, Location, Node, rebuild, with_inputs
from ir.ops.contraction import free_axes
from ir.passes.cse import cse

UNEVEN = 2.0  # how much slower direct sums are where phases differ in their number of taps


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

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = with_inputs(node, inputs)
        found = None
        if node in folds:
            found = _data_gradient(new)
        elif node.op.name == "dot" and node not in inner:
            found = _forward(new) or _weight_gradient(new)
        return new if found is None else found

    return cse(rebuild(graph, replace))  # gradients of images and taps have tiles in common


# -- what is replaced -------------------------------------------------------------------------


def _forward(dot: Node) -> Node | None:
    """A convolution: channels and taps are contracted, one axis of the weights is not."""
    contract = dot.attrs["contract"]
    for side in (0, 1):
        images = _windows(dot.inputs[side])
        weight, order = dot.inputs[1 - side], contract[1 - side]
        if images is None or dot.attrs["batch"][0] or weight.type.rank != images.rank:
            continue
        rank, taps = images.rank, range(images.rank, images.rank + len(images.axes))
        partner = dict(zip(contract[side], order, strict=True))
        channel = [axis for axis in images.others if axis in partner]
        if len(order) != rank - 1 or len(channel) != 1 or not set(taps) <= set(partner):
            continue
        (kept,) = free_axes(rank, order, ())
        (batch,) = set(images.others) - set(channel)
        x = make.transpose(images.source, (batch, *channel, *images.axes))
        w = make.transpose(weight, (partner[channel[0]], kept, *(partner[tap] for tap in taps)))
        if images.stride > 1:
            x, w = _phases_of_images(x, images), _phases_of_taps(w, images.stride)
        y = convolved(_lifted(x), _lifted(w), False, dot.loc)
        if y is None:
            return None
        y = _lowered(y, rank)
        place = {batch: 0, **{axis: at for at, axis in enumerate(images.axes, 2)}}
        places = [place[axis] for axis in sorted(place)]
        return make.transpose(y, [*places, 1] if side == 0 else [1, *places])
    return None


def _data_gradient(node: Node) -> Node | None:
    """A fold of a dot, or its crop: a convolution with the taps the other way round."""
    fold = node.inputs[0] if node.op.name == "slice" else node
    attrs, (inner,), rank = fold.attrs, fold.inputs, fold.type.rank
    if not _square(fold) or rank != 2 + len(attrs["axes"]):
        return None
    order = list(range(inner.type.rank))  # for each axis of what is folded the dot's
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
    others = [axis for axis in range(rank) if axis not in attrs["axes"]]
    side = rows[0][0]
    batch = [axis for axis in others if found[axis][0] == side]
    channel = [axis for axis in others if found[axis][0] != side]
    taps = found[rank:]
    if any(operand != side for operand, _ in rows) or len(batch) != 1:
        return None
    if any(operand == side for operand, _ in taps):
        return None
    images, weight = (left, right) if side == 0 else (right, left)
    k = contract[side][0]
    x = make.transpose(images, (found[batch[0]][1], k, *(axis for _, axis in rows)))
    of_channel = contract[1 - side][0], found[channel[0]][1]
    w = make.transpose(weight, (*of_channel, *(axis for _, axis in taps)))
    crop = [(0, size) for size in node.shape]
    if node is not fold:
        crop = list(zip(node.attrs["start"], node.attrs["stop"], strict=True))
    if any(crop[axis] != (0, node.shape[axis]) for axis in others):
        return None
    kept = [*[(0, 1)] * (4 - rank), *(crop[axis] for axis in attrs["axes"])]
    y = _spread_out(_lifted(x), _lifted(w), int(attrs["stride"][0]), fold.loc, kept)
    if y is None:
        return None
    place = {batch[0]: 0, channel[0]: 1, **{axis: at for at, axis in enumerate(attrs["axes"], 2)}}
    return make.transpose(_lowered(y, rank), [place[axis] for axis in range(rank)])


def _spread_out(
    x: Node, w: Node, s: int, loc: Location | None, kept: Sequence[tuple[Size, Size]]
) -> Node | None:
    """What a fold of stride ``s`` adds up of images [N, K, h, w] by taps [K, C, q, r], the part
    ``kept``.

    A result ``s * i + phase`` is a convolution of its own for every phase below the stride ``s``.
    Those of two strides read the same images one place apart, and are computed together.
    """
    edges, places = list[tuple[int, int]](), list[tuple[int, int]]()
    for images, size, (start, stop) in zip(x.shape[2:], w.shape[2:], kept, strict=True):
        if not isinstance(start, int) or not isinstance(stop, int) or not isinstance(images, int):
            return None
        if (s > 1 and start % s != s - 1) or s > 2:
            return None
        places.append((start, stop))
        r = ceil(int(size) / s)
        low = r - 1 - start // s  # before the windows of the first phase
        edges.append((low, ceil((stop - start) / s) + r + s - 2 - images - low))
    found = spread(x, w, places, loc) if s == 1 else None
    if found is not None:
        return found
    if any(edge < 0 for pair in edges for edge in pair):
        return None
    (low0, high0), (low1, high1) = edges
    x = make.pad(x, (0, 0, low0, low1), (0, 0, high0, high1))
    if s == 1:
        return convolved(x, w, True, loc)
    size = int(w.shape[2])
    r = ceil(size / s)
    x = make.transpose(make.window(x, (2, 3), (s, s), (1, 1), (1, 1)), (4, 5, 0, 1, 2, 3))
    w = make.pad(w, (0,) * 4, (0, 0, s * r - size, s * r - size))
    w = make.reshape(w, (*w.shape[:2], r, s, r, s))
    w = make.flip(make.transpose(w, (3, 5, 0, 1, 2, 4)), (0, 1))
    taps = (size / s) ** 2 * (UNEVEN if size % s else 1.0)
    y = convolved(x, w, True, loc, taps)
    if y is None:
        return None
    y = make.transpose(y, (2, 3, 4, 0, 5, 1))
    y = make.reshape(y, (*y.shape[:2], int(y.shape[2]) * s, int(y.shape[4]) * s))
    sizes = [stop - start for start, stop in kept]
    return make.slice(y, (0,) * 4, (*y.shape[:2], *sizes), (1,) * 4)


def _weight_gradient(dot: Node) -> Node | None:
    """A dot over images and places of what the convolution read and of its result's gradient."""
    contract = dot.attrs["contract"]
    for side in (0, 1):
        images, grad = _windows(dot.inputs[side]), dot.inputs[1 - side]
        if images is None or dot.attrs["batch"][0] or grad.type.rank != images.rank:
            continue
        partner = dict(zip(contract[side], contract[1 - side], strict=True))
        batch = [axis for axis in images.others if axis in partner]
        if len(batch) != 1 or set(partner) != {*batch, *images.axes}:
            continue
        (kept,) = free_axes(images.rank, contract[1 - side], ())
        (channel,) = set(images.others) - set(batch)
        x = make.transpose(images.source, (*batch, channel, *images.axes))
        places = [partner[axis] for axis in images.axes]
        g = make.transpose(grad, (partner[batch[0]], kept, *places))
        s, r = images.stride, images.size // images.stride
        if s > 1:
            x = _phases_of_images(x, images)
        flat = images.rank < 4
        w = correlated(_lifted(x), _lifted(g), (1 if flat else r, r), dot.loc)
        if w is None:
            return None
        if flat:
            w = make.reshape(w, w.shape[1:])
        if s > 1:
            w = _taps_of_phases(w, s)
        *taps, results, channels = range(images.rank)  # [r, r, K, C]
        order = (channels, *taps, results) if side == 0 else (results, channels, *taps)
        return make.transpose(w, order)
    return None


@dataclass(frozen=True)
class _Windows:
    """Windows of one ``size`` over one or two ``axes`` of ``source``, which has two ``others``.

    There are ``counts`` of them, ``stride`` apart, which divides their ``size``.
    """

    source: Node
    axes: tuple[int, ...]
    others: tuple[int, ...]
    size: int
    stride: int
    counts: tuple[int, ...]

    @property
    def rank(self) -> int:
        return self.source.type.rank


def _windows(node: Node) -> _Windows | None:
    if node.op.name != "window" or not _square(node):
        return None
    (source,), axes = node.inputs, node.attrs["axes"]
    others = tuple(axis for axis in range(source.type.rank) if axis not in axes)
    counts = tuple(size for axis in axes if isinstance(size := node.shape[axis], int))
    size, stride = node.attrs["size"][0], node.attrs["stride"][0]
    if len(others) != 2 or len(counts) != len(axes) or size % stride:
        return None
    return _Windows(source, axes, others, size, stride, counts)


def _square(node: Node) -> bool:
    """Whether windows (or what a fold adds) have one size along both axes, or along one that they
    step through one by one; without gaps."""
    size, stride, dilation = (node.attrs[name] for name in ("size", "stride", "dilation"))
    if len(set(size)) != 1 or len(set(stride)) != 1 or set(dilation) != {1}:
        return False
    return len(size) == 2 or (len(size) == 1 and stride[0] == 1)


def _lifted(x: Node) -> Node:
    """Lines as images of one row."""
    return x if x.type.rank >= 4 else make.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def _lowered(x: Node, rank: int) -> Node:
    """The lines of images of one row, if ``rank`` says that they were lines."""
    return x if rank >= 4 else make.reshape(x, (*x.shape[:-2], x.shape[-1]))


# -- strides: every so many places are a convolution of their own, one step apart ---------------


def _phases_of_images(x: Node, windows: _Windows) -> Node:
    """[N, C, H, W] as [N, s * s * C, rows, columns]: each phase of both axes is a channel."""
    s, r = windows.stride, windows.size // windows.stride
    rows, columns = (count + r - 1 for count in windows.counts)
    n, channels = x.shape[:2]
    x = make.slice(x, (0,) * 4, (n, channels, s * rows, s * columns), (1,) * 4)
    x = make.reshape(x, (n, channels, rows, s, columns, s))
    x = make.transpose(x, (0, 3, 5, 1, 2, 4))
    return make.reshape(x, (n, s * s * int(channels), rows, columns))


def _phases_of_taps(w: Node, s: int) -> Node:
    """[C, K, s * r, s * r] as [s * s * C, K, r, r], phases as ``_phases_of_images`` has them."""
    channels, results, size = int(w.shape[0]), w.shape[1], int(w.shape[2])
    w = make.reshape(w, (channels, results, size // s, s, size // s, s))
    w = make.transpose(w, (3, 5, 0, 1, 2, 4))
    return make.reshape(w, (s * s * channels, results, size // s, size // s))


def _taps_of_phases(w: Node, s: int) -> Node:
    """[r, r, K, s * s * C] as [s * r, s * r, K, C]."""
    r, results, channels = int(w.shape[0]), w.shape[2], int(w.shape[3]) // s**2
    w = make.reshape(w, (r, r, results, s, s, channels))
    w = make.transpose(w, (0, 3, 1, 4, 2, 5))
    return make.reshape(w, (r * s, r * s, results, channels))
