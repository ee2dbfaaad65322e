"""A cluster in, everything that its kernel depends on out: equal layers are planned only once.

A deep network repeats its layers, and an optimizer its update. Two clusters whose ``Makeup`` has
the same key compute the same from other arrays, so that the nest of the first, read from the
second one's buffers (``renamed``), is the nest of the second; ``Nest.like`` keeps where it came
from, for whoever decides something about nests and need not decide it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.cluster import Cluster, points_of
from codegen.index import Index, dynamics_of
from codegen.lower import Lowering
from codegen.nest import Apply, Buffer, Expr, Guard, Load, Nest, Position, Reduce, Root, walk
from ir.graph import Node


@dataclass(frozen=True)
class Makeup:
    """What a cluster computes, its nodes numbered; ``leaves`` are those that it reads."""

    key: int  # of those of one plan equal where what they compute is
    leaves: tuple[Node, ...]
    stored: tuple[Node, ...]
    numbers: Mapping[Node, int]

    def with_buffers(
        self, buffers: Mapping[Node, Buffer], about: Callable[[Node], Hashable]
    ) -> Hashable:
        """The key of the nest: the arrays' layouts, which of them are one, what ``about`` says."""
        places: dict[Buffer, int] = {}
        parts: list[Hashable] = [self.key]
        for node in (*self.leaves, *self.stored):
            buffer = buffers[node]
            at = places.setdefault(buffer, len(places))
            parts.append((at, buffer.dtype, buffer.shape, buffer.batch, buffer.strips, about(node)))
        return tuple(parts)


def makeup(
    cluster: Cluster,
    stored: Sequence[Node],
    member: Collection[Node],
    tags: Mapping[Node, int | None],
    known: dict[Hashable, int],
) -> Makeup:
    """The makeup of a cluster that stores ``stored``.

    ``member`` are the nodes that kernels store, ``tags`` the nodes' batch axes; ``known`` holds
    what the plan has met so far, each with its number.
    """
    numbers: dict[Node, int] = {}
    leaves: list[Node] = []
    parts: list[Hashable] = []
    inside = cluster.inlined
    stack = list(reversed(stored))
    while stack:
        node = stack[-1]
        if node in numbers:
            stack.pop()
            continue
        if node not in inside and (node.op.name == "input" or node in member):
            leaves.append(node)
            parts.append((node.type, tags[node]))
        else:
            below = [source for source in node.inputs if source not in numbers]
            if below:
                stack += reversed(below)
                continue
            parts.append((node.content, tuple(numbers[source] for source in node.inputs)))
        numbers[node] = len(numbers)
        stack.pop()
    members = tuple((numbers.get(n), at, tags[n]) for n, at in cluster.members.items())
    found = (
        tuple(parts),
        members,
        cluster.axes,
        cluster.reason,
        tuple(cluster.phases.items()),
        tuple((numbers.get(node), block) for node, block in cluster.blocks.items()),
        cluster.rows.within if cluster.rows else None,
        tuple(numbers.get(node) for node in cluster.core),
        tuple(numbers[node] for node in stored),
        tuple(numbers.get(node, node.op.name) for node in cluster.inner),
    )
    key = known.setdefault(found, len(known))
    return Makeup(key, tuple(leaves), tuple(stored), numbers)


def loads_of(
    cluster: Cluster, alike: Makeup, probes: Mapping[Node, Buffer]
) -> dict[int, list[tuple[Index, ...]]]:
    """Where the cluster's kernel reads each of its leaves, by their numbers.

    ``probes`` are stand-ins for the arrays, one for each node.
    """
    rows = dict.fromkeys(cluster.core, cluster.rows.within) if cluster.rows else {}
    probe = Lowering(probes, cluster.inlined, rows=rows)
    values = []
    for node in alike.stored:
        values += [probe.element(node, index) for index in points_of(cluster, node)]
    number = {probes[node]: alike.numbers[node] for node in alike.leaves}
    found: dict[int, list[tuple[Index, ...]]] = {}
    for expr in walk(values):
        if isinstance(expr, Load):
            found.setdefault(number[expr.buffer], []).append(expr.index)
    return found


def can_rename(nest: Nest) -> bool:
    """Whether ``renamed`` knows every place that a buffer is mentioned: not in computed indices."""
    for expr in walk([root.value for root in nest.roots]):
        parts: tuple[Index, ...] = ()
        if isinstance(expr, Load):
            parts = expr.index
        elif isinstance(expr, Position):
            parts = (expr.index,)
        elif isinstance(expr, Guard):
            parts = tuple(condition.index for condition in expr.conditions)
        if any(dynamics_of(part) for part in parts):
            return False
    return True


def renamed(nest: Nest, name: str, like: Node, to: Mapping[Buffer, Buffer]) -> Nest:
    """``nest`` over other buffers, at the user's line of ``like``."""
    done: dict[int, Expr] = {}
    roots = tuple(
        Root(to[r.buffer], r.index, _over(r.value, to, done), r.phase, r.within) for r in nest.roots
    )
    return replace(nest, name=name, roots=roots, loc=like.loc).likened(nest)


def _over(expr: Expr, to: Mapping[Buffer, Buffer], done: dict[int, Expr]) -> Expr:
    """The expression over other buffers; what is shared in it stays shared."""
    found = done.get(id(expr))
    if found is not None:
        return found
    match expr:
        case Load():
            found = Load(to[expr.buffer], expr.index)
        case Apply():
            args = tuple([_over(arg, to, done) for arg in expr.args])
            found = Apply(expr.op, args, expr.dtype)
        case Reduce():
            found = Reduce(expr.kind, expr.axes, _over(expr.body, to, done), expr.dtype)
        case Guard():
            body, fill = (_over(arg, to, done) for arg in (expr.body, expr.fill))
            found = Guard(expr.conditions, body, fill)
        case _:
            found = expr
    done[id(expr)] = found
    return found
