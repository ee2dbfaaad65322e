"""Graph in, an equal graph out whose loops run once and keep only what is read.

Differentiation makes a second scan over the same body that hands out more of its values: two
scans whose bodies share their input nodes, fed alike, become one. What no one reads of a scan is
no longer computed by it, and a carry of which only the last value is read keeps no history. What is
carried on as well as handed out is stored once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ir import make
from ir.dims import Size
from ir.graph import Graph, Node, toposort, with_inputs
from ir.loops import rows_after
from ir.ops.loop import Body
from ir.passes.rewrite import with_nodes


@dataclass
class _Loop:
    """A scan by the nodes of its body, not by positions."""

    length: Size
    reverse: bool
    carries: dict[Node, tuple[Node, Node, bool]]  # in the body -> (first value, next, keep)
    slices: dict[Node, Node]
    constants: dict[Node, Node]
    outputs: dict[Node, None]

    def agrees(self, other: _Loop) -> bool:
        """Whether both turn alike: everything they share is fed and carried in the same way."""
        if (self.length, self.reverse) != (other.length, other.reverse):
            return False
        pairs = (
            (self.carries, other.carries),
            (self.slices, other.slices),
            (self.constants, other.constants),
        )
        shared = any(key in b for a, b in pairs for key in a)
        return shared and all(a[key] == b[key] for a, b in pairs for key in a if key in b)

    def absorb(self, other: _Loop) -> None:
        for key, carry in other.carries.items():
            self.carries.setdefault(key, carry)
        for key, node in other.slices.items():
            self.slices.setdefault(key, node)
        for key, node in other.constants.items():
            self.constants.setdefault(key, node)
        self.outputs.update(other.outputs)

    def node(self) -> Node:
        graph = Graph(
            (*self.carries, *self.slices, *self.constants),
            (*(after for _, after, _ in self.carries.values()), *self.outputs),
        )
        starts = [start for start, _, _ in self.carries.values()]
        return make.apply(
            "scan",
            *(*starts, *self.slices.values(), *self.constants.values()),
            body=Body(graph),
            carries=len(self.carries),
            slices=len(self.slices),
            length=self.length,
            reverse=self.reverse,
            keep=tuple(keep for _, _, keep in self.carries.values()),
        )


def loops(graph: Graph) -> Graph:
    """Scans of one body are merged; results that nobody reads are dropped."""
    if all(node.op.name != "scan" for node in graph.nodes):
        return graph
    return _prune(_merge(_from_histories(graph)))


def _from_histories(graph: Graph) -> Graph:
    """What a turn both carries on and hands out is read from the carry's history."""
    given, new = set(graph.outputs), dict[Node, Node]()
    for node in graph.nodes:
        made = with_inputs(node, [new[source] for source in node.inputs])
        if node.op.name == "item" and node not in given:
            made = _history_of(made)
        new[node] = made
    return with_nodes(graph, new)


def _history_of(item: Node) -> Node:
    """The rows of a history that equal a loop's output; the item itself where there are none."""
    kind, inner = _place(item)
    (scan,) = item.inputs
    loop = _parts(scan)
    for carry, (_, after, keep) in loop.carries.items():
        if kind == "output" and after is inner and keep:
            return rows_after(_item(scan, ("carry", carry)), loop.reverse)
    return item


def _parts(node: Node) -> _Loop:
    body, attrs = node.attrs["body"].graph, node.attrs
    carries, slices = attrs["carries"], attrs["slices"]
    pairs = list(zip(body.inputs, node.inputs, strict=True))
    states = zip(pairs[:carries], body.outputs[:carries], attrs["keep"], strict=True)
    return _Loop(
        attrs["length"],
        attrs["reverse"],
        {inner: (outer, after, keep) for (inner, outer), after, keep in states},
        dict(pairs[carries : carries + slices]),
        dict(pairs[carries + slices :]),
        dict.fromkeys(body.outputs[carries:]),
    )


def _merge(graph: Graph) -> Graph:
    """Every group of scans that turn alike as one, where none needs another's result."""
    for first, second in _pairs(graph):
        joined, other = _parts(first), _parts(second)
        joined.absorb(other)
        both = joined.node()
        new = {first: both, second: both}
        for node in graph.nodes:
            if node in new:
                continue
            made = with_inputs(node, [new[source] for source in node.inputs])
            if node.op.name == "item" and node.inputs[0] in (first, second):
                made = _item(both, _place(node))
            new[node] = made
        return _merge(with_nodes(graph, new))
    return graph


def _pairs(graph: Graph) -> Iterable[tuple[Node, Node]]:
    """The first two scans that can be one."""
    scans = [node for node in graph.nodes if node.op.name == "scan"]
    for at, first in enumerate(scans):
        for second in scans[at + 1 :]:
            if _parts(first).agrees(_parts(second)) and first not in toposort([second]):
                yield first, second
                return


def _place(item: Node) -> tuple[str, Node]:
    """What an item is, by the body's node: a carry's history or an output."""
    (scan,), at = item.inputs, item.attrs["index"]
    body, carries = scan.attrs["body"].graph, scan.attrs["carries"]
    return ("carry", body.inputs[at]) if at < carries else ("output", body.outputs[at])


def _item(scan: Node, place: tuple[str, Node]) -> Node:
    kind, node = place
    body, carries = scan.attrs["body"].graph, scan.attrs["carries"]
    if kind == "carry":
        return make.apply("item", scan, index=body.inputs[:carries].index(node))
    return make.apply("item", scan, index=carries + body.outputs[carries:].index(node))


def _prune(graph: Graph) -> Graph:
    """Drop outputs, carries and operands of scans that nobody reads."""
    users, outputs = graph.users(), set(graph.outputs)
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op.name == "item" and new[node.inputs[0]] is not node.inputs[0]:
            new[node] = _kept_item(node, new[node.inputs[0]])
        elif node.op.name == "slice" and new[node.inputs[0]].type != node.inputs[0].type:
            new[node] = new[node.inputs[0]]  # the last row of a carry that keeps only that
        else:
            new[node] = with_inputs(node, [new[source] for source in node.inputs])
            if node.op.name == "scan":
                new[node] = _smaller(node, new[node], users, outputs)
    return with_nodes(graph, new)


def _kept_item(node: Node, scan: Node) -> Node:
    return _item(scan, _place(node))


def _smaller(
    old: Node, node: Node, users: Mapping[Node, Sequence[Node]], given: Collection[Node]
) -> Node:
    """``node`` without what no user of ``old`` reads; ``node`` itself where all is read."""
    loop = _parts(node)
    items = [user for user in users[old] if user.op.name == "item"]
    read = [_place(item) for item in items]
    wanted = {inner for kind, inner in read if kind == "output"}
    outputs = dict.fromkeys(one for one in loop.outputs if one in wanted)
    live = _live_carries(loop, {inner for kind, inner in read if kind == "carry"}, outputs)
    used = _reached([*outputs, *(loop.carries[one][1] for one in live)])
    turns = isinstance(loop.length, int) and loop.length > 0
    last_only = _last_only(items, users, given, loop.reverse) if turns else set()
    carries = {
        one: (start, after, keep and one not in last_only)
        for one, (start, after, keep) in loop.carries.items()
        if one in live
    }
    smaller = _Loop(
        loop.length,
        loop.reverse,
        carries,
        {k: v for k, v in loop.slices.items() if k in used},
        {k: v for k, v in loop.constants.items() if k in used},
        outputs,
    )
    same = (
        list(outputs) == list(loop.outputs)
        and carries == loop.carries
        and len(smaller.slices) == len(loop.slices)
        and len(smaller.constants) == len(loop.constants)
    )
    return node if same else smaller.node()


def _live_carries(loop: _Loop, read: set[Node], outputs: Iterable[Node]) -> set[Node]:
    """Carries that are read outside, or in the body by something that is needed."""
    live = set(read)
    while True:
        reached = _reached([*outputs, *(loop.carries[one][1] for one in live)])
        more = {one for one in loop.carries if one in reached} | read
        if more <= live:
            return live
        live |= more


def _reached(roots: Sequence[Node]) -> set[Node]:
    return set(toposort(roots))


def _last_only(
    items: Sequence[Node],
    users: Mapping[Node, Sequence[Node]],
    given: Collection[Node],
    reverse: bool,
) -> set[Node]:
    """Carries of which every reader takes the row after the last turn, if there is one."""
    found: set[Node] = set()
    more: set[Node] = set()
    for item in items:
        kind, inner = _place(item)
        if kind == "carry":
            last = item not in given and all(_is_last(r, reverse) for r in users[item])
            (found if last else more).add(inner)
    return found - more


def _is_last(node: Node, reverse: bool) -> bool:
    if node.op.name != "slice":
        return False
    (source,), attrs = node.inputs, node.attrs
    rows = source.shape[0]
    first = 0 if reverse else rows - 1
    whole = all(
        (start, stop, step) == (0, size, 1)
        for start, stop, step, size in zip(
            attrs["start"][1:], attrs["stop"][1:], attrs["step"][1:], source.shape[1:], strict=True
        )
    )
    return whole and attrs["start"][0] == first and attrs["stop"][0] == first + 1
