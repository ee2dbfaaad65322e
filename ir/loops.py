"""A body in, a scan over it out, and the rows of its histories."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ir import make
from ir.dims import Size
from ir.graph import Graph, Node, toposort, with_inputs
from ir.ops.loop import Body


def scan(
    body: Graph,
    carries: int,
    slices: int,
    operands: Sequence[Node],
    length: Size,
    reverse: bool = False,
) -> Node:
    """The scan of ``body`` that keeps the whole history of every carry."""
    attrs: dict[str, Any] = {
        "body": Body(body),
        "carries": carries,
        "slices": slices,
        "length": length,
        "reverse": reverse,
        "keep": (True,) * carries,
    }
    return make.apply("scan", *operands, **attrs)


def item(results: Node, index: int) -> Node:
    """The ``index``-th value of a tuple."""
    return make.apply("item", results, index=index)


def last_row(history: Node, reverse: bool) -> Node:
    """What a carry is after the last turn, from its history."""
    rest = (0,) * (history.type.rank - 1)
    rows = history.shape[0]
    at = 0 if reverse else rows - 1
    if not isinstance(at, int):  # a slice starts at a number
        history, at = make.flip(history, (0,)), 0
    stop = (at + 1, *history.shape[1:])
    row = make.slice(history, (at, *rest), stop, (1,) * history.type.rank)
    return make.reshape(row, history.shape[1:])


def rows_before(history: Node, reverse: bool) -> Node:
    """For each turn what the carry was before it."""
    return _rows(history, 1 if reverse else 0)


def rows_after(history: Node, reverse: bool) -> Node:
    """For each turn what the carry was after it."""
    return _rows(history, 0 if reverse else 1)


def _rows(history: Node, start: int) -> Node:
    rest = (0,) * (history.type.rank - 1)
    stop = (history.shape[0] - 1 + start, *history.shape[1:])
    return make.slice(history, (start, *rest), stop, (1,) * history.type.rank)


def close_body(
    inputs: Sequence[Node], outputs: Sequence[Node], made: Collection[Node] = ()
) -> tuple[Graph, list[Node]]:
    """The body's graph, and the outer nodes that it reads: its further inputs, in order.

    What does not depend on ``inputs`` is computed once outside, but for the nodes of ``made``;
    constants, counters and repetitions of outer values stay inside, where they cost nothing.
    """
    inside: set[Node] = {*inputs, *made}
    closed: set[Node] = set()
    order = toposort([*inputs, *outputs])
    for node in order:
        if any(source in inside for source in node.inputs):
            inside.add(node)
        elif node.op.name != "input" and all(source in closed for source in node.inputs):
            closed.add(node)
    needed = _needed(outputs, inside)
    new: dict[Node, Node] = {}
    lifted: dict[Node, Node] = {}
    for node in order:
        if node in inputs or (node in closed and node not in inside):
            new[node] = node
        elif node in needed and _stays(node, inside):
            new[node] = with_inputs(node, [new[source] for source in node.inputs])
        elif node in needed:
            new[node] = lifted[node] = make.input_node(node.type, f"outer{len(lifted)}")
    graph = Graph((*inputs, *lifted.values()), tuple(new[node] for node in outputs))
    return graph, list(lifted)


def _stays(node: Node, inside: set[Node]) -> bool:
    return node in inside or node.op.name == "broadcast"


def _needed(outputs: Sequence[Node], inside: set[Node]) -> set[Node]:
    """The nodes that the body computes or reads, not looking behind what is lifted."""
    found: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            if _stays(node, inside):
                stack.extend(node.inputs)
    return found


def carried(results: Node) -> list[Node]:
    """What each carry of a scan is after the last turn."""
    attrs = results.attrs
    return [last_row(item(results, at), attrs["reverse"]) for at in range(attrs["carries"])]
