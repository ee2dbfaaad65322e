"""A graph and which inputs carry the batch in, each node's batch axis out.

The batch axis is where vector lanes come from: it is as long for a narrow layer as for a wide
one, and no op but a reduction mixes its elements.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from codegen.nest import LANES
from ir.graph import Graph, Node
from ir.ops.contraction import free_axes


def batch_axes(graph: Graph, batch_inputs: Collection[int]) -> dict[Node, int | None]:
    """For each node the axis that runs over the batch, None where there is none."""
    tags: dict[Node, int | None] = {}
    for at, node in enumerate(graph.inputs):
        tags[node] = 0 if at in batch_inputs and node.type.rank > 0 else None
    return spread_axes(graph, tags)


def spread_axes(graph: Graph, known: Mapping[Node, int | None]) -> dict[Node, int | None]:
    """The batch axis of every node, given that of each input."""
    tags = dict(known)
    for node in graph.nodes:
        if node.op.name == "item":
            tags[node] = _tag_item(node, tags)
        elif node.op.name not in ("input", "scan"):
            tags[node] = _tag(node, tags)
        else:
            tags.setdefault(node, None)
    return tags


def turn_axes(scan: Node, tags: Mapping[Node, int | None]) -> dict[Node, int | None]:
    """The batch axis of each input of a scan's body.

    A carry may start as constants, without a batch; then the turn itself tells.
    """
    attrs = scan.attrs
    body, carries, slices = attrs["body"].graph, attrs["carries"], attrs["slices"]
    found: dict[Node, int | None] = {}
    for at, (inner, outer) in enumerate(zip(body.inputs, scan.inputs, strict=True)):
        tag = tags[outer]
        if carries <= at < carries + slices and tag is not None:
            tag = tag - 1 if tag > 0 else None
        found[inner] = tag
    inside = spread_axes(body, found)
    for state, after in zip(body.inputs[:carries], body.outputs[:carries], strict=True):
        if found[state] is None:
            found[state] = inside[after]
    return found


def _tag_item(node: Node, tags: Mapping[Node, int | None]) -> int | None:
    (scan,) = node.inputs
    body = scan.attrs["body"].graph
    tag = spread_axes(body, turn_axes(scan, tags))[body.outputs[node.attrs["index"]]]
    return None if tag is None else tag + 1


def _tag(node: Node, tags: Mapping[Node, int | None]) -> int | None:
    known = [tags[source] for source in node.inputs]
    if not any(tag is not None for tag in known):
        return None
    family, name = node.op.family, node.op.name
    if family == "elementwise" or name == "concatenate":
        first, *others = {tag for tag in known if tag is not None}
        mixed = bool(others) or (name == "concatenate" and first == node.attrs["axis"])
        return None if mixed else first
    if name == "dot":
        return _tag_dot(node, known)
    if family == "indexing":
        return _tag_indexing(node, known)
    tag = known[0]
    if tag is None:
        return None
    if family == "reduction":
        axes = node.attrs["axes"]
        return None if tag in axes else tag - sum(axis < tag for axis in axes)
    return _tag_movement(node, tag)


def _tag_dot(node: Node, known: list[int | None]) -> int | None:
    contract, batch = node.attrs["contract"], node.attrs["batch"]
    offset = len(batch[0])
    found: set[int] = set()
    for side, tag in enumerate(known):
        free = free_axes(node.inputs[side].type.rank, contract[side], batch[side])
        if tag in batch[side]:
            found.add(batch[side].index(tag))
        elif tag in free:
            found.add(offset + free.index(tag))
        offset += len(free)
    return found.pop() if len(found) == 1 else None


def _tag_indexing(node: Node, known: list[int | None]) -> int | None:
    axis, tag = node.attrs["axis"], known[0]
    if node.op.name in ("cumsum", "take_along", "put_along", "rank", "argsort"):
        found = {t for t in known if t is not None}
        if node.op.name == "cumsum" and _along_rows(node):
            return None
        return found.pop() if len(found) == 1 and axis not in found else None
    rank = node.inputs[1].type.rank
    if node.op.name == "take":
        if known[1] is not None:
            return None if tag is not None else axis + known[1]
        if tag is None or tag == axis:
            return None
        return tag if tag < axis else tag + rank - 1
    if tag is None or axis <= tag < axis + rank:
        return None
    return tag if tag < axis else tag - rank + 1


def _along_rows(node: Node) -> bool:
    """Whether running sums fill lanes by themselves: neighbours in memory, sixteen or more."""
    size = node.shape[-1]
    return node.attrs["axis"] == node.type.rank - 1 and isinstance(size, int) and size >= LANES


def _tag_movement(node: Node, tag: int) -> int | None:
    name, attrs, source = node.op.name, node.attrs, node.inputs[0]
    if name == "transpose":
        return int(attrs["perm"].index(tag))
    if name == "broadcast":
        axis = int(attrs["axes"][tag])
        return axis if source.shape[tag] == node.shape[axis] else None
    if name == "reshape":
        same = source.shape[: tag + 1] == node.shape[: tag + 1]
        return tag if same else None
    if name in ("window", "fold"):
        return None if tag in attrs["axes"] else tag
    if name == "pad":
        return tag if (attrs["low"][tag], attrs["high"][tag]) == (0, 0) else None
    if name == "slice":
        return tag if source.shape[tag] == node.shape[tag] else None
    if name == "flip":
        return None if tag in attrs["axes"] else tag
    if name == "mix":
        return None if tag == attrs["axis"] else tag
    return None
