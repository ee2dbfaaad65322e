"""Graph in, an equal graph out in which one meaning has one spelling.

Chains of movements, casts and reductions merge, transposes move into the axes of contractions,
and ReLU moves below max pooling, where it has fewer elements to visit and one tensor less to
keep. Values are kept bit for bit, with two exceptions: merged sums and sums or contractions over
transposed operands may round in another order, and the sign of a zero that comes out of a
reduction is open, before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ir import make
from ir.dims import Size, product
from ir.graph import Graph, Node, toposort
from ir.ops import OPS
from ir.ops.contraction import free_axes
from ir.passes.rewrite import Rules, names, rewrite, rewrite_nodes
from ir.passes.sums import sum_of_fold, sum_of_picked
from ir.types import DType, is_float

# Rules that merge need as many rounds as a chain is long after its first rewriting; networks
# have chains of two or three.
_ROUNDS = 8

_SIGNIFICAND = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
_VIEWS = ("reshape", "transpose", "broadcast", "slice", "flip", "window", "pad")


def canonicalise(graph: Graph) -> Graph:
    """One spelling for each meaning: merged movements, sorted axes, ReLU below max pooling."""
    return rewrite(graph, _RULES)


def canonicalise_nodes(roots: Sequence[Node]) -> dict[Node, Node]:
    """For every node that ``roots`` reach its canonical node, the same object where unchanged.

    Run before differentiation, so that what the backward pass keeps is what canonical nodes need.
    """
    found = {node: node for node in toposort(roots)}
    for _ in range(_ROUNDS):
        step = rewrite_nodes(found.values(), _RULES)
        if all(step[node] is node for node in found.values()):
            return found
        found = {old: step[node] for old, node in found.items()}
    return found


def _merge_reshapes(node: Node) -> Node | None:
    match names(node):
        case ("reshape", "reshape"):
            return make.reshape(node.inputs[0].inputs[0], node.shape)
        case _ if node.shape == node.inputs[0].shape:
            return node.inputs[0]
    return None


def _after_unit_reshape(node: Node) -> Node | None:
    """An axis of size 1 that was put in before elementwise ops is put in after them.

    It then meets the broadcast or the reshape that takes it out again.
    """
    shape: tuple[Size, ...] | None = None
    for x in node.inputs:
        if x.op.name == "reshape" and shape in (None, x.inputs[0].shape):
            shape = x.inputs[0].shape
        elif x.op.name != "broadcast" or x.inputs[0].shape != ():
            return None
    if shape is None or _without_units(shape) != _without_units(node.shape):
        return None
    sources = [
        x.inputs[0] if x.op.name == "reshape" else make.broadcast(x.inputs[0], shape, ())
        for x in node.inputs
    ]
    return make.reshape(make.apply(node.op.name, *sources, **node.attrs), node.shape)


def _after_transpose(node: Node) -> Node | None:
    """Elementwise ops come before a transpose of outer axes.

    It then meets the transpose that undoes it, or the contraction that absorbs it: attention turns
    [n, l, e] to [l, n, e] and back.
    """
    perm: tuple[int, ...] | None = None
    for x in node.inputs:
        if x.op.name == "transpose" and perm in (None, x.attrs["perm"]):
            perm = x.attrs["perm"]
        elif x.op.name != "broadcast":
            return None
    if perm is None or perm[-1] != len(perm) - 1:
        return None
    back = tuple(perm.index(axis) for axis in range(len(perm)))
    sources = [
        x.inputs[0] if x.op.name == "transpose" else make.transpose(x, back) for x in node.inputs
    ]
    return make.transpose(make.apply(node.op.name, *sources, **node.attrs), perm)


def _after_reshape(node: Node) -> Node | None:
    """Elementwise ops of one array and scalars come before a reshape: they may join its maker."""
    found = [x for x in node.inputs if x.op.name == "reshape"]
    scalars = [x for x in node.inputs if x.op.name == "broadcast" and x.inputs[0].shape == ()]
    if len(found) != 1 or len(found) + len(scalars) != len(node.inputs):
        return None
    shape = found[0].inputs[0].shape
    sources = [
        x.inputs[0] if x is found[0] else make.broadcast(x.inputs[0], shape, ())
        for x in node.inputs
    ]
    return make.reshape(make.apply(node.op.name, *sources, **node.attrs), node.shape)


def _reshape_of_transpose(node: Node) -> Node | None:
    """Dimensions that a reshape keeps together are moved after it, not before."""
    (x,) = node.inputs
    if x.op.name != "transpose" or 0 in x.shape or x.attrs["perm"][-1] != x.type.rank - 1:
        return None
    groups = _groups(x.shape, node.shape)
    order = sorted(
        range(len(groups)), key=lambda at: max(x.attrs["perm"][i] for i in groups[at][0])
    )
    if order == sorted(order):
        return None
    inner = [x.attrs["perm"][axis] for at in order for axis in groups[at][0]]
    placed = [axis for at in order for axis in groups[at][1]]
    moved = make.reshape(make.transpose(x.inputs[0], inner), [node.shape[axis] for axis in placed])
    return make.transpose(moved, [placed.index(axis) for axis in range(node.type.rank)])


def _groups(old: Sequence[Size], new: Sequence[Size]) -> list[tuple[list[int], list[int]]]:
    """The fewest dimensions of both shapes that become one another, from the left."""
    found: list[tuple[list[int], list[int]]] = []
    start, to = 0, 0
    for stop in range(1, len(old) + 1):
        total = product(old[:stop])
        ends = [end for end in range(to + 1, len(new) + 1) if product(new[:end]) == total]
        if ends:
            end = ends[0] if stop < len(old) else len(new)
            found.append((list(range(start, stop)), list(range(to, end))))
            start, to = stop, end
    return (
        found
        if start == len(old) and to == len(new)
        else [([*range(len(old))], [*range(len(new))])]
    )


def _without_units(shape: Sequence[Size]) -> list[Size]:
    return [size for size in shape if size != 1]


def _merge_transposes(node: Node) -> Node | None:
    (x,), perm = node.inputs, node.attrs["perm"]
    if x.op.name == "transpose":
        inner = x.attrs["perm"]
        return make.transpose(x.inputs[0], tuple(inner[axis] for axis in perm))
    return x if perm == tuple(range(len(perm))) else None


def _unit_transpose(node: Node) -> Node | None:
    """A transpose that moves only axes of size 1 is a reshape."""
    (x,), perm = node.inputs, node.attrs["perm"]
    moved = [axis for axis in perm if x.shape[axis] != 1]
    return make.reshape(x, node.shape) if moved == sorted(moved) else None


def _transpose_of_broadcast(node: Node) -> Node | None:
    """Reorder before repeating: there is less to reorder, often nothing."""
    (x,), perm = node.inputs, node.attrs["perm"]
    if x.op.name != "broadcast":
        return None
    (source,), axes = x.inputs, x.attrs["axes"]
    placed = [perm.index(axis) for axis in axes]
    order = sorted(range(len(axes)), key=placed.__getitem__)
    return make.broadcast(make.transpose(source, order), node.shape, sorted(placed))


def _swapped_dot(node: Node) -> Node | None:
    """A transpose that only exchanges the two operands' axes exchanges the operands."""
    (x,), perm = node.inputs, node.attrs["perm"]
    if x.op.name != "dot":
        return None
    (a, b), (ca, cb), (ba, bb) = x.inputs, x.attrs["contract"], x.attrs["batch"]
    heads, left = len(ba), len(free_axes(a.type.rank, ca, ba))
    rank = x.type.rank
    swap = (*range(heads), *range(heads + left, rank), *range(heads, heads + left))
    return make.dot(b, a, (cb, ca), (bb, ba)) if perm == swap else None


def _merge_broadcasts(node: Node) -> Node | None:
    (x,), axes = node.inputs, node.attrs["axes"]
    if x.op.name == "broadcast":
        inner = tuple(axes[axis] for axis in x.attrs["axes"])
        return make.apply("broadcast", x.inputs[0], shape=node.shape, axes=inner)
    if x.type == node.type:
        return x
    return make.reshape(x, node.shape) if x.type.numel == node.type.numel else None


def _broadcast_of_unsqueezed(node: Node) -> Node | None:
    """Axes of size 1 that a reshape put in only to be repeated are not needed."""
    (x,), axes = node.inputs, node.attrs["axes"]
    if x.op.name != "reshape":
        return None
    source = x.inputs[0]
    kept = [at for at, size in enumerate(x.shape) if size != 1]
    if tuple(x.shape[at] for at in kept) != source.shape:
        return None
    return make.broadcast(source, node.shape, tuple(axes[at] for at in kept))


def _merge_flips(node: Node) -> Node | None:
    (x,), axes = node.inputs, node.attrs["axes"]
    turned = set(axes) ^ set(x.attrs["axes"]) if x.op.name == "flip" else set(axes)
    turned = {axis for axis in turned if x.shape[axis] != 1}
    source = x.inputs[0] if x.op.name == "flip" else x
    merged = tuple(sorted(turned))
    if merged == axes and source is x:
        return None
    return make.flip(source, merged) if merged else source


def _merge_pads(node: Node) -> Node | None:
    (x,), attrs = node.inputs, node.attrs
    if not any((*attrs["low"], *attrs["high"], *attrs["interior"])):
        return x
    if x.op.name != "pad" or any((*attrs["interior"], *x.attrs["interior"])):
        return None
    if repr(x.attrs["value"]) != repr(attrs["value"]):
        return None
    low = tuple(a + b for a, b in zip(attrs["low"], x.attrs["low"], strict=True))
    high = tuple(a + b for a, b in zip(attrs["high"], x.attrs["high"], strict=True))
    return make.pad(x.inputs[0], low, high, value=attrs["value"])


def _merge_casts(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.dtype == node.dtype:
        return x
    if x.op.name != "cast":
        return None
    (source,) = x.inputs
    if not _holds(x.dtype, source.dtype):
        return None
    # Out of range, a float becomes an integer as the hardware likes: keep the cast as written.
    if is_float(x.dtype) and node.dtype.kind in "iu" and not _holds(node.dtype, source.dtype):
        return None
    return make.cast(source, node.dtype)


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of ``narrow`` is a value of ``wide``."""
    if wide == narrow or narrow.kind == "b":
        return True
    if is_float(wide) and is_float(narrow):
        return wide.itemsize > narrow.itemsize
    if is_float(wide) and narrow.kind in "iu":
        return narrow.itemsize * 8 - (narrow.kind == "i") <= _SIGNIFICAND[wide.name]
    if wide.kind == narrow.kind:
        return wide.itemsize > narrow.itemsize
    return wide.kind == "i" and narrow.kind == "u" and wide.itemsize > narrow.itemsize


def _sort_axes(node: Node) -> Node | None:
    axes = tuple(sorted(node.attrs["axes"]))
    if axes == node.attrs["axes"]:
        return None
    return make.apply(node.op.name, node.inputs[0], axes=axes)


def _merge_reductions(node: Node) -> Node | None:
    (x,), axes = node.inputs, node.attrs["axes"]
    if not axes:
        return x
    if x.op.name == node.op.name:
        source = x.inputs[0]
        kept = free_axes(source.type.rank, x.attrs["axes"], ())
        merged = sorted((*x.attrs["axes"], *(kept[axis] for axis in axes)))
        return make.apply(node.op.name, source, axes=tuple(merged))
    if x.op.name in ("reshape", "transpose") and node.shape == () and x.type.rank:
        source = x.inputs[0]
        return make.apply(node.op.name, source, axes=tuple(range(source.type.rank)))
    return None


def _reduce_single(node: Node) -> Node | None:
    """Reducing axes of size 1 only drops them."""
    (x,) = node.inputs
    if any(x.shape[axis] != 1 for axis in node.attrs["axes"]):
        return None
    return make.reshape(x, node.shape)


def _sum_of_transpose(node: Node) -> Node | None:
    """Only sums: a max and the argmax beside it go on reading one view, so that they fuse."""
    (x,), axes = node.inputs, node.attrs["axes"]
    if x.op.name != "transpose":
        return None
    (source,), perm = x.inputs, x.attrs["perm"]
    gone = sorted(perm[axis] for axis in axes)
    kept = [axis for axis in perm if axis not in gone]
    order = sorted(kept)
    return make.transpose(make.sum(source, gone), tuple(order.index(axis) for axis in kept))


def _max_of_relu(node: Node) -> Node | None:
    """``max(view(relu(x)))`` is ``relu(max(view(x)))``: relu grows with x, and keeps NaN."""
    chain: list[Node] = []
    (x,) = node.inputs
    while x.op.name in _VIEWS:
        if x.op.name == "pad" and not _pad_commutes(x, [*chain, node]):
            return None
        chain.append(x)
        (x,) = x.inputs
    if x.op.name != "relu":
        return None
    view = x.inputs[0]
    for step in reversed(chain):
        view = make.apply(step.op.name, view, loc=step.loc, **step.attrs)
    largest = make.apply("max", view, loc=node.loc, **node.attrs)
    return make.apply("relu", largest, loc=x.loc)


def _pad_commutes(pad: Node, users: Sequence[Node]) -> bool:
    """Whether the padding stays unseen by relu, or is what relu would leave as it is.

    Unseen is padding that no window consists of alone: pooling pads by less than its window.
    """
    attrs = pad.attrs
    if attrs["value"] >= 0:
        return True
    nearest = users[-2] if len(users) > 1 else users[-1]
    if len(users) != 2 or nearest.op.name != "window" or any(attrs["interior"]):
        return False
    if 0 in pad.inputs[0].shape:
        return False
    if set(users[-1].attrs["axes"]) != set(range(pad.type.rank, nearest.type.rank)):
        return False
    window = dict(zip(nearest.attrs["axes"], nearest.attrs["size"], strict=True))
    return all(step == 1 for step in nearest.attrs["dilation"]) and all(
        max(low, high) < window.get(axis, 1)
        for axis, (low, high) in enumerate(zip(attrs["low"], attrs["high"], strict=True))
    )


def _dot_of_transposes(node: Node) -> Node | None:
    """A dot reads its operands' axes in any order; what is left over reorders the result."""
    if "transpose" not in names(node)[1:]:
        return None
    sides = list(zip(node.inputs, node.attrs["contract"], node.attrs["batch"], strict=True))
    places: list[int] = list(range(len(node.attrs["batch"][0])))
    contracts, batches = [], []
    operands: list[Node] = []
    for operand, contract, batch in sides:
        free = free_axes(operand.type.rank, contract, batch)
        if operand.op.name == "transpose":
            perm = operand.attrs["perm"]
            operand = operand.inputs[0]
            contract, batch = _through(perm, contract), _through(perm, batch)
            free = _through(perm, free)
        base, order = len(places), sorted(free)
        places += [base + order.index(axis) for axis in free]
        operands.append(operand)
        contracts.append(contract)
        batches.append(batch)
    (a, b), (ca, cb), (ba, bb) = operands, contracts, batches
    return make.transpose(make.dot(a, b, (ca, cb), (ba, bb)), places)


def _through(perm: Sequence[int], axes: Iterable[int]) -> tuple[int, ...]:
    return tuple(perm[axis] for axis in axes)


def _sort_contraction(node: Node) -> Node | None:
    """Contracted pairs in the order of the left operand's axes."""
    pairs = list(zip(*node.attrs["contract"], strict=True))
    if pairs == sorted(pairs):
        return None
    (a, b), (left, right) = node.inputs, zip(*sorted(pairs), strict=True)
    return make.dot(a, b, (left, right), node.attrs["batch"])


_AFTER = (_after_unit_reshape, _after_transpose, _after_reshape)
_SUM = (_sort_axes, _reduce_single, _merge_reductions, _sum_of_transpose)
_RULES: Rules = {
    **{op.name: _AFTER for op in OPS.values() if op.family == "elementwise"},
    "reshape": (_merge_reshapes, _reshape_of_transpose),
    "transpose": (_merge_transposes, _unit_transpose, _transpose_of_broadcast, _swapped_dot),
    "broadcast": (_merge_broadcasts, _broadcast_of_unsqueezed),
    "flip": (_merge_flips,),
    "pad": (_merge_pads,),
    "cast": (_merge_casts, *_AFTER),
    "sum": (*_SUM, sum_of_fold, sum_of_picked),
    "prod": (_sort_axes, _reduce_single, _merge_reductions),
    "max": (_sort_axes, _reduce_single, _merge_reductions, _max_of_relu),
    "min": (_sort_axes, _reduce_single, _merge_reductions),
    "dot": (_dot_of_transposes, _sort_contraction),
}
