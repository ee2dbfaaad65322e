"""A sum in, one of fewer elements with the same terms out: rules for ``canonicalise``.

The gradient of a bias before a pooling layer sums up an image that the pooling's gradient put
together. What it was put together from is smaller; and where that is a value beside zeros, at the
place of a maximum, the sum over the places is the value.
"""

from __future__ import annotations

from ir import make
from ir.dims import Size
from ir.graph import Node
from ir.ops.contraction import free_axes
from ir.passes.rewrite import literal


def sum_of_fold(node: Node) -> Node | None:
    """The sum over everything that a fold adds up, wherever it does, is that of its operand."""
    (x,), axes = node.inputs, node.attrs["axes"]
    if x.op.name != "fold" or not set(x.attrs["axes"]) <= set(axes):
        return None
    (source,), rank = x.inputs, x.type.rank
    return make.sum(source, (*axes, *range(rank, source.type.rank)))


def sum_of_picked(node: Node) -> Node | None:
    """The sum over axes of which one place has a value, that of an extremum, is over the others."""
    (x,), axes = node.inputs, node.attrs["axes"]
    if x.op.name != "select" or literal(x.inputs[2]) != 0 or x.inputs[0].op.name != "eq":
        return None
    here, value, _ = x.inputs
    spread = [side for side in here.inputs if _is_position(side)]
    if len(spread) != 1 or value.op.name != "broadcast":
        return None
    place = here.inputs[1 - here.inputs.index(spread[0])]
    over = free_axes(x.type.rank, spread[0].attrs["axes"], ())
    among = spread[0].inputs[0]
    counted = among.inputs[0].type.numel
    kept = value.attrs["axes"]
    if not set(over) <= set(axes) or set(over) & set(kept):
        return None
    if _weights(place) != _flat(x.shape, over) or counted != x.type.numel:
        return None
    rest = tuple(axis for axis in range(x.type.rank) if axis not in over)
    shape = tuple(x.shape[axis] for axis in rest)
    values = make.broadcast(value.inputs[0], shape, tuple(rest.index(axis) for axis in kept))
    return make.sum(values, tuple(rest.index(axis) for axis in axes if axis not in over))


def _is_position(node: Node) -> bool:
    """Whether ``node`` repeats, for all elements, which of them is the extremum."""
    if node.op.name != "broadcast" or node.inputs[0].op.name not in ("argmax", "argmin"):
        return False
    return node.inputs[0].shape == tuple(node.shape[axis] for axis in node.attrs["axes"])


def _weights(node: Node) -> dict[int, Size] | None:
    """``node`` as a sum of positions along axes, each times a number; None for anything else."""
    match node.op.name:
        case "iota":
            return {node.attrs["axis"]: 1}
        case "add":
            left, right = (_weights(source) for source in node.inputs)
            return None if left is None or right is None else {**left, **right}
        case "mul":
            found, times = _weights(node.inputs[0]), literal(node.inputs[1])
            if found is None or times is None:
                return None
            return {axis: weight * int(times) for axis, weight in found.items()}
    return None


def _flat(shape: tuple[Size, ...], axes: tuple[int, ...]) -> dict[int, Size]:
    """What ``make.flat_index`` over the axes is, as ``_weights``."""
    found: dict[int, Size] = {}
    step: Size = 1
    for axis in reversed(axes):
        found[axis] = step
        step = step * shape[axis]
    return found
