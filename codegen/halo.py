"""A graph in, the same graph with convolutions' operands stored inside a rim of zeros out.

A convolution that pads reads beyond its input's edges; asking at every tap whether the element
exists costs more than the multiplication. So the padded array itself is stored, once, by the
kernel that makes the input, and whoever else reads the input reads the middle of it. The data
gradient of a convolution (and a transposed convolution) is a fold of a dot: there the operand
gets as many zeros as the windows over the part of the result that is kept can reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from codegen.patterns import contraction_of, crop_of, is_halo, overlaps
from ir import make
from ir.graph import Graph, Node, rebuild, with_inputs
from ir.ops.contraction import free_axes

MOST_WASTE = 1.5  # taps on zeros, against taps on elements alone
MOST_ALONG = 1.2  # the same along one axis, which a register tile may cover, and leave zeros out


def with_halos(graph: Graph) -> Graph:
    """``graph``, its folds reading rims of zeros, and other readers the middle of stored rims."""
    return _share_rims(_widen_folds(graph))


# -- folds ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reach:
    """Along one axis: zeros before and after, and the part of the widened fold that is wanted.

    ``more`` results after it make it whole strides, each of which is computed in one piece.
    """

    low: int
    high: int
    start: int
    stop: int
    extent: int
    more: int = 0


def _widen_folds(graph: Graph) -> Graph:
    users = graph.users()
    wide: dict[Node, tuple[Node, Node]] = {}  # what is replaced: (its fold, its dot)
    for node in graph.nodes:
        if node.op.name != "fold" or not overlaps(node):
            continue
        dot = contraction_of(node, users, graph.outputs)
        if dot is not None:
            wide[crop_of(node, users, graph.outputs) or node] = (node, dot)

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in wide:
            fold, dot = wide[node]
            found = _widened(node, fold, dot, inputs[0])
            if found is not None:
                return found
        return with_inputs(node, inputs)

    return rebuild(graph, replace) if wide else graph


def _widened(node: Node, old_fold: Node, old_dot: Node, source: Node) -> Node | None:
    """``node`` (a fold or its crop) with the dot's operand padded; None where nothing is short.

    ``source`` is the input of ``node`` as rebuilt.
    """
    fold = source if node is not old_fold else None
    inner = fold.inputs[0] if fold is not None else source
    reaches = _reaches(node, old_fold)
    if reaches is None or not any(r.low or r.high or r.more for r in reaches):
        return None
    chain: list[Node] = []
    while inner.op.name == "transpose":
        chain.append(inner)
        (inner,) = inner.inputs
    dot = inner
    places = list(old_fold.attrs["axes"])
    for step in chain:
        places = [step.attrs["perm"][at] for at in places]
    side, axes = _operand_axes(dot, places)
    if side is None:
        return None
    operands = list(dot.inputs)
    operands[side] = _padded(operands[side], dict(zip(axes, reaches, strict=True)))
    left, right = operands
    new = make.dot(left, right, dot.attrs["contract"], dot.attrs["batch"])
    new = _at(new, dot)
    for step in reversed(chain):
        new = _at(make.transpose(new, step.attrs["perm"]), step)
    attrs = dict(old_fold.attrs)
    attrs["extent"] = tuple(max(r.extent, r.stop + r.more) for r in reaches)
    new = make.apply("fold", new, loc=old_fold.loc, **attrs)
    start, stop = [0] * node.type.rank, list(new.shape)
    if node is not old_fold:  # other axes may be cropped too
        start, stop = list(node.attrs["start"]), list(node.attrs["stop"])
    for axis, r in zip(old_fold.attrs["axes"], reaches, strict=True):
        start[axis], stop[axis] = r.start, r.stop + r.more
    new = _at(make.slice(new, start, stop, (1,) * node.type.rank), node)
    return _at(make.slice(new, (0,) * node.type.rank, node.shape, (1,) * node.type.rank), node)


def _reaches(node: Node, fold: Node) -> list[_Reach] | None:
    attrs, found = fold.attrs, list[_Reach]()
    shape, waste = fold.inputs[0].shape, 1.0
    for place, axis in enumerate(attrs["axes"]):
        size, stride, dilation = (attrs[n][place] for n in ("size", "stride", "dilation"))
        count, extent = shape[axis], fold.shape[axis]
        if not isinstance(count, int) or not isinstance(extent, int):
            return None
        begin, end = 0, extent
        if node is not fold:
            begin, end = node.attrs["start"][axis], node.attrs["stop"][axis]
        taken = sum(
            begin <= o * stride + k * dilation < end for o in range(count) for k in range(size)
        )
        waste *= (end - begin) * ceil(size / stride) / max(taken, 1)
        first = -(((size - 1) * dilation - begin) // stride)  # of the windows that reach begin
        low = max(0, -first)
        more = -(end - begin) % stride
        high = max(0, (end + more - 1) // stride - (count - 1))
        start, stop = begin + low * stride, end + low * stride
        whole = (count + low + high - 1) * stride + (size - 1) * dilation + 1
        found.append(_Reach(low, high, start, stop, max(whole, stop), more))
    return found if waste <= (MOST_WASTE if len(found) > 1 else MOST_ALONG) else None


def _operand_axes(dot: Node, places: list[int]) -> tuple[int | None, list[int]]:
    """The operand that all of the dot's result axes ``places`` come from, and its axes."""
    contract, batch = dot.attrs["contract"], dot.attrs["batch"]
    at = len(batch[0])
    for side in (0, 1):
        free = free_axes(dot.inputs[side].type.rank, contract[side], batch[side])
        if all(at <= place < at + len(free) for place in places):
            return side, [free[place - at] for place in places]
        at += len(free)
    return None, []


def _padded(x: Node, reaches: Mapping[int, _Reach]) -> Node:
    low = [reaches[axis].low if axis in reaches else 0 for axis in range(x.type.rank)]
    high = [reaches[axis].high if axis in reaches else 0 for axis in range(x.type.rank)]
    return _at(make.pad(x, low, high, value=0.0), x)


def _at(node: Node, like: Node) -> Node:
    return Node(node.op, node.inputs, node.attrs, node.type, like.loc)


# -- rims that several read ---------------------------------------------------------------------


def _share_rims(graph: Graph) -> Graph:
    """Readers of an array of which a padded copy is stored read the middle of that copy."""
    users = graph.users()
    rims: dict[Node, Node] = {}
    for node in graph.nodes:
        if is_halo(node, users):
            source = node.inputs[0]
            if source.op.name != "input" and source not in graph.outputs:
                rims.setdefault(source, node)
    rims = {x: rim for x, rim in rims.items() if len(users[x]) > 1}
    if not rims:
        return graph
    stored: dict[Node, Node] = {}  # the rims and their middles as rebuilt, by their source

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        rim = rims.get(node.inputs[0]) if node.inputs else None
        if rim is node:
            return stored[node.inputs[0]]
        seen = [
            _middle(stored[old]) if old in rims else new
            for old, new in zip(node.inputs, inputs, strict=True)
        ]
        new = with_inputs(node, seen)
        if node in rims:
            stored[node] = with_inputs(rims[node], (new,))
        return new

    return rebuild(graph, replace)


def _middle(pad: Node) -> Node:
    (x,), low = pad.inputs, pad.attrs["low"]
    stop = [a + size for a, size in zip(low, x.shape, strict=True)]
    return _at(make.slice(pad, low, stop, (1,) * x.type.rank), x)
