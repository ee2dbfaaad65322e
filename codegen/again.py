"""A cheap epilogue of a contraction in, whether its readers should compute it instead out.

A layer norm's backward pass wants a product's result, times the weight, times the normalised rows,
times both. Stored, each is written and read once; computed where it is read, from the result and
the rows that are stored anyway, it costs a multiplication.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from codegen.nest import LANES
from codegen.patterns import LITTLE, feeds_tiles, fills_rim
from ir.graph import Node

if TYPE_CHECKING:
    from codegen.fuse import Fusion


def is_cheaper_again(fusion: Fusion, node: Node) -> bool:
    """Whether the readers of ``node``, all of whose inputs have their places, should compute it."""
    number = fusion.home[node]
    plain = node.op.family == "elementwise" and node.type.rank > 0
    if number < 0 or not plain or node in fusion.outputs or fusion.clusters[number].alone:
        return False
    operands, readers = operands_of(fusion, node), fusion.readers(node)
    for reader, expands in readers:
        tiles = reader.op.name == "mix" and feeds_tiles(node, fusion.users)
        if not tiles and (expands or reader.op.family not in ("elementwise", "reduction")):
            return False
    if not any(_is_elsewhere(fusion, reader) for reader, _ in readers):
        return False
    here = operands & fusion.clusters[number].members.keys()
    if not here:
        return _follows(fusion, node, operands)
    if node.op.cost > 1 or not all(_is_stored_anyway(fusion, source, node) for source in here):
        return False
    loads = sum(_bytes(source) for source in operands) * len(readers)
    return loads <= _bytes(node) * (2 + len(readers))  # against a store, and a load for each


def _follows(fusion: Fusion, node: Node, operands: set[Node]) -> bool:
    """Whether ``node`` costs little more than loading the one array that it is made of."""
    if len(operands) != 1 or fusion.price(node)[0] > LITTLE:
        return False
    (source,) = operands
    return source.op.name == "input" or _is_stored_anyway(fusion, source, node)


def operands_of(fusion: Fusion, node: Node) -> set[Node]:
    """What is loaded to compute ``node``, as long as it is; itself where it is stored."""
    found, seen = set[Node](), set[Node]()
    own = node in fusion.member or node.op.name == "input"
    stack = [node] if own else list(node.inputs)
    while stack:
        source = stack.pop()
        if source in seen:
            continue
        seen.add(source)
        if source.op.name == "input" or source in fusion.member:
            found |= {source} if source.type.numel == node.type.numel else set()
        else:
            stack.extend(source.inputs)
    return found


def _is_stored_anyway(fusion: Fusion, node: Node, but: Node) -> bool:
    """Whether a kernel of its own reads ``node``, which is not the one that reads ``but``.

    What is smaller than ``node``, a mask, is better stored than ``node`` kept as long.
    """
    if node in fusion.outputs:
        return True
    others = _far_readers(fusion, node, but)
    if _bytes(but) < _bytes(node):
        last = max(fusion.place[reader] for reader, _ in fusion.readers(but))
        if last > max((fusion.place[reader] for reader in others), default=-1):
            return False
    return any(_is_elsewhere(fusion, reader) for reader in others)


def _far_readers(fusion: Fusion, node: Node, but: Node) -> set[Node]:
    """Who reads ``node``, but for what ``but`` computes of it, through what is not stored."""
    found, stack, seen = set[Node](), [node], {but}
    while stack:
        for reader, _ in fusion.readers(stack.pop()):
            if reader in seen:
                continue
            seen.add(reader)
            found.add(reader)
            free = reader in fusion.home and reader not in fusion.member
            if free or feeds_tiles(reader, fusion.users):
                stack.append(reader)
    return found


def _is_elsewhere(fusion: Fusion, reader: Node) -> bool:
    """Whether a reader will surely be in a later kernel: a contraction, a reduction, what makes
    tiles or rims, or what needs one that has no place yet."""
    users = fusion.users
    if _is_heavy(reader) or fills_rim(reader, users, fusion.outputs) or feeds_tiles(reader, users):
        return True
    seen, stack = set[Node](), list(reader.inputs)
    while stack:
        source = stack.pop()
        if source in fusion.home or source in seen:
            continue
        seen.add(source)
        if _is_heavy(source):
            return True
        stack.extend(source.inputs)
    return False


def _is_heavy(node: Node) -> bool:
    return node.op.name in ("dot", "mix") or node.op.family == "reduction"


def _bytes(node: Node) -> float:
    sizes = (size if isinstance(size, int) else 4 * LANES for size in node.shape)
    return float(node.dtype.itemsize * prod(sizes))
