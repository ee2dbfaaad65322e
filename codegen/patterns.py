"""A node and who reads it in, what the planner must know of its surroundings out.

Which dot a fold reads and which part of a fold is kept, where a padded array should be stored,
which nodes read their operands whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import TypeAlias

from ir.dims import Size
from ir.graph import Graph, Node

READ_OFTEN = 12  # an element that a contraction reads so often is worth storing beside a rim
LITTLE = 8.0  # multiplications of sixteen elements take less than a store and a load of them
MOST_PHASES = 16  # of a strided fold, each with code of its own
FEW = 1024  # numbers of labels, by row or in all
Users: TypeAlias = Mapping[Node, Sequence[Node]]


def stands_alone(node: Node) -> bool:
    """Whether ``node`` reads its operands whole, from memory."""
    return node.op.name == "scan" or is_called(node)


def is_called(node: Node) -> bool:
    """Whether NumPy computes ``node``, between kernels."""
    return node.op.family == "factor" or node.op.name == "argsort"


def library_of(node: Node) -> str:
    """Who computes a called node."""
    return "LAPACK" if node.op.family == "factor" else "NumPy"


def history_rows(node: Node) -> tuple[Node, int] | None:
    """The history of a loop, and the first of its rows, where ``node`` is a run of its rows."""
    if node.op.name != "slice" or node.inputs[0].op.name != "item":
        return None
    (source,), attrs = node.inputs, node.attrs
    whole = tuple(attrs["stop"][1:]) == source.shape[1:] and not any(attrs["start"][1:])
    first = attrs["start"][0]
    runs = whole and isinstance(first, int) and all(step == 1 for step in attrs["step"])
    return (source, first) if runs else None


def reads_whole(user: Node, node: Node) -> bool:
    """Whether ``user`` needs ``node`` in memory as it is: loops find the rows of a history."""
    if not stands_alone(user):
        return False
    if user.op.name != "scan" or history_rows(node) is None:
        return True
    first = user.attrs["carries"]
    others = (*user.inputs[:first], *user.inputs[first + user.attrs["slices"] :])
    return node in others


def contraction_of(fold: Node, users: Users, outputs: Collection[Node]) -> Node | None:
    """The dot whose result only ``fold`` reads, through transposes."""
    (node,) = fold.inputs
    while len(users[node]) == 1 and node not in outputs:
        if node.op.name == "dot":
            return node
        if node.op.name != "transpose":
            return None
        (node,) = node.inputs
    return None


def joins_tiles(node: Node) -> bool:
    """Whether ``node`` puts transformed tiles side by side (a fold of mixed values)."""
    if node.op.name != "fold" or overlaps(node):
        return False
    source = node.inputs[0]
    while source.op.name in ("transpose", "add", "pad"):  # tiles that overlap are added up
        source = source.inputs[0]
    return source.op.name == "mix"


def overlaps(node: Node) -> bool:
    """Whether a window, or a fold, has elements that belong to several windows, or gaps."""
    attrs = node.attrs
    return any(
        not (s == k and d == 1)
        for k, s, d in zip(attrs["size"], attrs["stride"], attrs["dilation"], strict=True)
    )


def crop_of(fold: Node, users: Users, outputs: Collection[Node]) -> Node | None:
    """The slice of neighbours that is all that anyone reads of ``fold``."""
    if fold in outputs or len(users[fold]) != 1:
        return None
    (user,) = users[fold]
    crops = user.op.name == "slice" and all(step == 1 for step in user.attrs["step"])
    return user if crops else None


def is_halo(node: Node, users: Users) -> bool:
    """Whether a padded array is stored with its rim: a contraction reads its elements often.

    Where only tiles are made of it, and it is cheap to compute from a contraction's result, tiles
    are made of that result: they ask which taps exist, which takes less than writing the rim.
    """
    if node.op.name != "pad" or node.attrs["value"] != 0 or any(node.attrs["interior"]):
        return False
    if node.type.rank < 3 or not all(isinstance(size, int) for size in node.shape[2:]):
        return False
    windows = [user for user in users[node] if user.op.name == "window"]
    readers = [*users[node], *(far for window in windows for far in users[window])]
    if any(_often(reader, node) for reader in readers if reader.op.name == "dot"):
        return True
    return _is_mixed(node, users) and not is_light(node.inputs[0])


def is_light(node: Node) -> bool:
    """Whether ``node`` costs little to compute from one result of a contraction, as large."""
    cost, base = 0.0, set[Node]()
    seen, stack = set[Node](), [node]
    while stack and cost <= LITTLE and len(base) < 2:
        source = stack.pop()
        if source in seen or source.type.numel != node.type.numel:
            continue
        seen.add(source)
        if source.op.family == "elementwise" or source.op.name in ("reshape", "transpose"):
            cost += source.op.cost if source.op.family == "elementwise" else 0
            stack += source.inputs
        elif source.op.name != "broadcast":
            base.add(source)
    return cost <= LITTLE and [source.op.name in ("dot", "fold") for source in base] == [True]


def feeds_tiles(node: Node, users: Users) -> bool:
    """Whether tiles of a fast convolution are made of ``node``, an elementwise one, in passing."""
    pads = (user for user in users[node] if user.op.name == "pad")
    light = node.op.family == "elementwise" and any(_is_mixed(pad, users) for pad in pads)
    return light and is_light(node)


def fills_rim(node: Node, users: Users, outputs: Collection[Node]) -> bool:
    """Whether all that anyone reads of an elementwise ``node`` is its copy inside a rim."""
    if node.op.family != "elementwise" or node in outputs or node.type.rank < 3:
        return False
    while len(users[node]) == 1 and node not in outputs:
        (node,) = users[node]
        if node.op.name == "pad":
            return is_halo(node, users)
        if node.op.name != "transpose":
            return False
    return False


def _is_mixed(node: Node, users: Users) -> bool:
    """Whether tiles of a fast convolution are made of ``node``."""
    views = ("transpose", "reshape", "slice", "window")
    return any(
        user.op.name == "mix" or (user.op.name in views and _is_mixed(user, users))
        for user in users[node]
    )


def adds_tiles(node: Node, users: Users) -> bool:
    """Whether ``node``, put together from products of tiles, is added to another such value.

    The products are several times as large: they need not wait for one another.
    """
    if node.op.name != "mix" or node.inputs[0].op.name != "mix":
        return False
    views = ("reshape", "transpose")
    while len(users[node]) == 1 and users[node][0].op.name in views:
        (node,) = users[node]
    sums = [user for user in users[node] if user.op.name == "add"]
    for source in (source for add in sums for source in add.inputs if source is not node):
        while source.op.name in views:
            (source,) = source.inputs
        if source.op.name == "mix":
            return True
    return False


def _often(dot: Node, operand: Node) -> bool:
    """Whether the contraction reads each element of ``operand`` many times."""
    inner = [dot.inputs[0].shape[axis] for axis in dot.attrs["contract"][0]]
    return _count((*dot.shape, *inner)) >= READ_OFTEN * _count(operand.shape)


def _count(shape: Sequence[Size]) -> int:
    """Elements, a symbolic size counted once: the batch is on both sides of a comparison."""
    return prod(size for size in shape if isinstance(size, int))


def strides_of(node: Node, fold: Node) -> dict[int, int]:
    """The strides of a fold, where the kept part of it holds whole periods of all of them."""
    if fold.op.name != "fold":
        return {}
    found: dict[int, int] = {}
    for axis, stride in zip(fold.attrs["axes"], fold.attrs["stride"], strict=True):
        size = node.shape[axis]
        if stride > 1:
            if not isinstance(size, int) or size % stride or not size:
                return {}
            found[axis] = stride
    return found if prod(found.values()) <= MOST_PHASES else {}


def light_first(graph: Graph) -> list[Node]:
    """The graph's nodes, first those that no contraction or reduction comes before.

    A mask that is made of the inputs then has an earlier cluster than the scores it is added to.
    How many labels count comes early too: a kernel of rows of scores can then take the gradient in
    passing.
    """
    late, labels = set[Node](), set[Node]()  # the latter are made of integers alone
    for node in graph.nodes:
        name = node.op.name
        whole = node.dtype.kind in "iub" if name == "input" else name != "random_bits"
        if whole and all(source in labels for source in node.inputs):
            labels.add(node)
        size = node.type.numel
        few = isinstance(size, int) and size <= FEW
        counts = node.op.family == "reduction" and few and node in labels
        heavy = node.op.family not in ("elementwise", "movement", "source") and node.inputs
        if (heavy and not counts) or any(source in late for source in node.inputs):
            late.add(node)
    return sorted(graph.nodes, key=late.__contains__)
