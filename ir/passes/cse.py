"""Graph in, an equal graph out in which nothing is computed twice.

Random bits depend on their key and position alone, so that they may be shared as well.
"""

from __future__ import annotations

from typing import Any

from ir.graph import Graph, Node, with_inputs
from ir.passes.rewrite import with_nodes


def cse(graph: Graph) -> Graph:
    """Of nodes with the same op, attributes and inputs the first stays, and its user's line."""
    new: dict[Node, Node] = {}
    known: dict[tuple[Any, ...], Node] = {}
    for node in graph.nodes:
        if node.op.name == "input":
            new[node] = node
            continue
        made = with_inputs(node, [new[source] for source in node.inputs])
        new[node] = known.setdefault(made.key, made)
    return with_nodes(graph, new)
