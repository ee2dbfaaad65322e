"""Ops and inputs in, an immutable typed graph out.

A ``Node`` is one value: an op applied to nodes, with static attributes, its inferred type and
the user's line. A ``Graph`` is nothing but its inputs and outputs: whatever the outputs do not
reach does not exist, so dead code needs no bookkeeping, and a pass is a function that rebuilds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ir.errors import OpError
from ir.types import TensorType

if TYPE_CHECKING:
    from ir.table import Op

Attrs: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Location:
    """Where the user asked for an op."""

    file: str
    line: int
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


_current: ContextVar[Location | None] = ContextVar("location", default=None)


class located:
    """Nodes built inside belong to the user's line ``loc``."""

    def __init__(self, loc: Location | None) -> None:
        self._loc = loc

    def __enter__(self) -> located:
        self._token = _current.set(self._loc)
        return self

    def move(self, loc: Location | None) -> None:
        """Nodes built from here on belong to ``loc``."""
        _current.set(loc)

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)


@dataclass(frozen=True, eq=False)
class Node:
    """One value. Compared by identity; ``key`` compares structure."""

    op: Op
    inputs: tuple[Node, ...]
    attrs: Attrs
    type: TensorType
    loc: Location | None = None

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def dtype(self) -> Any:
        return self.type.dtype

    @property
    def content(self) -> tuple[Any, ...]:
        """Equal for nodes that do the same to their inputs."""
        known: tuple[Any, ...] | None = self.__dict__.get("_content")
        if known is None:
            attrs = tuple([(name, repr(value)) for name, value in sorted(self.attrs.items())])
            known = self.__dict__["_content"] = (self.op.name, attrs, self.type)
        return known

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for nodes that compute the same value from the same inputs."""
        return (self.content, tuple([id(node) for node in self.inputs]))

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.type}>"


@dataclass(frozen=True)
class Graph:
    """Inputs, outputs and their names; the nodes between are found from the outputs."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    _order: list[Node] = field(default_factory=list, repr=False, compare=False)
    # for each set of rules, by its id, the nodes that it leaves as they are (ir.passes.rewrite)
    rest: dict[int, tuple[Any, set[Node]]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def nodes(self) -> Sequence[Node]:
        """Every node the outputs need, and every input, producers before consumers."""
        if not self._order:
            self._order.extend(toposort([*self.inputs, *self.outputs]))
        return self._order

    def users(self) -> dict[Node, list[Node]]:
        """For each node the nodes that read it, once per reading node."""
        found: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            inputs = node.inputs
            for source in inputs if len(inputs) < 2 else dict.fromkeys(inputs):
                found[source].append(node)
        return found


def toposort(roots: Iterable[Node]) -> list[Node]:
    """Every node that ``roots`` reach, producers first, in a stable order."""
    order: list[Node] = []
    done: set[Node] = set()
    for root in roots:
        if root in done:
            continue
        stack = [(root, iter(root.inputs))]
        while stack:
            node, sources = stack[-1]
            for source in sources:
                if source not in done:
                    stack.append((source, iter(source.inputs)))
                    break
            else:
                stack.pop()
                done.add(node)
                order.append(node)
    return order


def build(
    op: Op, inputs: Sequence[Node], attrs: Attrs | None = None, loc: Location | None = None
) -> Node:
    """Apply ``op``: check arity and types, infer the result's type.

    Raises ``OpError`` (a TypeError or ValueError underneath) that names the op, the operand
    types and the rule broken.
    """
    attrs, loc = dict(attrs or {}), loc or _current.get()
    if op.arity is not None and len(inputs) != op.arity:
        raise OpError(op.name, [n.type for n in inputs], f"takes {op.arity} operands", loc=loc)
    types = [node.type for node in inputs]
    try:
        inferred = op.infer(types, attrs)
    except OpError as error:
        raise error.at(op.name, types, loc) from None
    return Node(op, tuple(inputs), attrs, inferred, loc)


def rebuild(
    graph: Graph, replace: Callable[[Node, tuple[Node, ...]], Node], keep_inputs: bool = True
) -> Graph:
    """Rewrite bottom up: ``replace(node, new_inputs)`` gives the new node for each old one."""
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        sources = tuple([new[source] for source in node.inputs])
        new[node] = node if node.op.name == "input" and keep_inputs else replace(node, sources)
    return Graph(
        tuple(new[node] for node in graph.inputs),
        tuple(new[node] for node in graph.outputs),
        graph.input_names,
        graph.output_names,
    )


def with_inputs(node: Node, inputs: Sequence[Node]) -> Node:
    """``node`` over other inputs of the same types; ``node`` itself where they are the same."""
    found = tuple(inputs)
    if found == node.inputs:  # nodes are equal by identity
        return node
    made = Node(node.op, found, node.attrs, node.type, node.loc)
    known = node.__dict__.get("_content")
    if known is not None:
        made.__dict__["_content"] = known
    return made
