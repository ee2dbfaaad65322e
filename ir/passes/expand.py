"""Graph in, an equal graph out without composites: each becomes the ops that its row says.

Derivatives have been taken before, of each as a whole.
"""

from __future__ import annotations

from ir import make
from ir.graph import Graph, Node
from ir.ops import OPS
from ir.passes.rewrite import Rules, rewrite


def expand(graph: Graph) -> Graph:
    """``graph`` in ops that kernels know; ``graph`` itself where it holds no composite."""
    return rewrite(graph, _RULES)


def _expanded(node: Node) -> Node | None:
    return None if node.op.expand is None else node.op.expand(make, node)


_RULES: Rules = {op.name: (_expanded,) for op in OPS.values() if op.expand is not None}
