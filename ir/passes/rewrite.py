"""Roots and local rules in, rewritten nodes out: the one walk that every rewriting pass takes.

A rule takes a node whose inputs are already rewritten and gives an equal node or None. Two laws,
the first checked here at every firing: a rule keeps the type; a rule shrinks the graph or sorts
it, so that applying rules again and again comes to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ir.errors import VerifyError
from ir.graph import Graph, Node, located, toposort, with_inputs

Rule: TypeAlias = Callable[[Node], Node | None]
Rules: TypeAlias = Mapping[str, Sequence[Rule]]

# A chain of rules on one node ends by the second law; the bound turns a broken law into an error.
_MOST_FIRINGS = 100


def rewrite(graph: Graph, rules: Rules) -> Graph:
    """``graph`` with ``rules`` applied once to every node; ``graph`` itself where none fits."""
    _, rest = graph.rest.setdefault(id(rules), (rules, set()))
    return with_nodes(graph, _rewritten(graph.nodes, rules, rest))


def rewrite_nodes(roots: Iterable[Node], rules: Rules) -> dict[Node, Node]:
    """For every node that ``roots`` reach its rewritten node, itself where nothing changed."""
    return _rewritten(toposort(roots), rules, set())


def _rewritten(order: Iterable[Node], rules: Rules, rest: set[Node]) -> dict[Node, Node]:
    """``rest``: nodes that no rule changes, nor what is below them; more are added."""
    new: dict[Node, Node] = {}
    with located(None) as place:
        for node in order:
            if node in rest:
                new[node] = node
                continue
            made = with_inputs(node, [new[source] for source in node.inputs])
            if made.op.name in rules:
                place.move(node.loc)
                made = _settle(made, rules)
            new[node] = made
            if rest.issuperset(made.inputs):
                rest.add(made)
    return new


def with_nodes(graph: Graph, new: Mapping[Node, Node]) -> Graph:
    """``graph`` with its outputs replaced; ``graph`` itself where they stay the same."""
    outputs = tuple(new[node] for node in graph.outputs)
    if all(a is b for a, b in zip(outputs, graph.outputs, strict=True)):
        return graph
    names = (graph.input_names, graph.output_names)
    return Graph(graph.inputs, outputs, *names, rest=graph.rest)


def names(node: Node) -> tuple[str, ...]:
    """What rules match on: the op's name, then the names of the ops that feed it."""
    return (node.op.name, *(source.op.name for source in node.inputs))


def literal(node: Node) -> Any:
    """The Python value of a constant or of a constant repeated to a shape; None for others."""
    if node.op.name == "broadcast" and not node.attrs["axes"]:
        node = node.inputs[0]
    return node.attrs["value"] if node.op.name == "constant" else None


def _settle(node: Node, rules: Rules) -> Node:
    for _ in range(_MOST_FIRINGS):
        found = _first(node, rules.get(node.op.name, ()))
        if found is None or found is node:
            return node
        node = found
    raise VerifyError(f"the rules for {node.op.name} do not come to an end")


def _first(node: Node, rules: Sequence[Rule]) -> Node | None:
    for rule in rules:
        found = rule(node)
        if found is not None:
            if found.type != node.type:
                raise VerifyError(
                    f"rule {rule.__name__} made {node.op.name} {node.type} into {found.type}"
                )
            return found
    return None
