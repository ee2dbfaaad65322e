"""A graph in, nothing out, or an error: whether a graph keeps the laws that passes rely on.

The type checker is the type rule of the op table, asked again; tests ask it after every pass.
"""

from __future__ import annotations

from ir.errors import OpError, VerifyError
from ir.graph import Graph, Node
from ir.ops import OPS


def verify(graph: Graph, when: str = "") -> None:
    """Raise VerifyError, naming the op, unless ``graph`` is a graph.

    It is one when every node is an op of the table with the right number of operands and the
    type that the op's rule gives, no node needs itself, and the graph's inputs are distinct
    ``input`` nodes that include every ``input`` node the outputs need.
    """
    try:
        order = _acyclic([*graph.inputs, *graph.outputs])
        _check_border(graph)
        listed = set(graph.inputs)
        for node in order:
            _check_node(node)
            if node.op.name == "input" and node not in listed:
                raise VerifyError(_said(node, "is not among the graph's inputs"))
    except VerifyError as error:
        raise VerifyError(f"{when}: {error}" if when else str(error)) from None


def _check_border(graph: Graph) -> None:
    if len(set(graph.inputs)) != len(graph.inputs):
        raise VerifyError("an input is listed twice")
    for node in graph.inputs:
        if node.op.name != "input":
            raise VerifyError(_said(node, "is listed as an input but is none"))
    for kind, names, nodes in (
        ("input", graph.input_names, graph.inputs),
        ("output", graph.output_names, graph.outputs),
    ):
        if names and len(names) != len(nodes):
            raise VerifyError(f"{len(nodes)} {kind}s have {len(names)} names")


def _check_node(node: Node) -> None:
    if OPS.get(node.op.name) is not node.op:
        raise VerifyError(_said(node, "is not a row of the op table"))
    if node.op.arity not in (None, len(node.inputs)):
        raise VerifyError(_said(node, f"takes {node.op.arity} operands, has {len(node.inputs)}"))
    try:
        inferred = node.op.infer([source.type for source in node.inputs], dict(node.attrs))
    except OpError as error:
        raise VerifyError(_said(node, error.rule)) from None
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise VerifyError(_said(node, f"bad attributes: {error!r}")) from None
    if inferred != node.type:
        raise VerifyError(_said(node, f"has type {node.type}, its rule says {inferred}"))


def _acyclic(roots: list[Node]) -> list[Node]:
    """Every node, producers first; VerifyError where a node needs itself."""
    order: list[Node] = []
    open_nodes: set[Node] = set()
    done: set[Node] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, finished = stack.pop()
        if finished:
            open_nodes.discard(node)
            done.add(node)
            order.append(node)
        elif node in open_nodes:
            raise VerifyError(_said(node, "needs its own result"))
        elif node not in done:
            open_nodes.add(node)
            stack.append((node, True))
            stack.extend((source, False) for source in node.inputs if source not in done)
    return order


def _said(node: Node, problem: str) -> str:
    line = f"{node.loc}: " if node.loc is not None else ""
    types = ", ".join(str(source.type) for source in node.inputs)
    return f"{line}{node.op.name}({types}): {problem}"
