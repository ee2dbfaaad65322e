"""A scan and cotangents of its results in, the scan that is its derivative out.

The derivative of a loop is a loop that runs the other way. What the body's derivative reads of
the forward turn comes from the forward loop as sequences: carries from their histories, other
values as additional outputs of an extended forward scan over the same body (``ir.passes.loops``
later makes one loop of both). A constant's cotangent is a sum over turns; where it is a product
or a reduction, the factors are stacked and one contraction over all turns is done afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ir import make
from ir.graph import Graph, Node, toposort, with_inputs
from ir.loops import close_body, item, last_row, rows_after, rows_before, scan
from ir.ops.loop import Body
from ir.types import is_float

Late: TypeAlias = Callable[[], Node]  # built once the backward scan stands
Vjp: TypeAlias = Callable[[Mapping[Node, Node], Sequence[Node]], "list[Node | None]"]


def scan_cotangents(node: Node, cotangents: Mapping[int, Node], vjp: Vjp) -> list[Node | None]:
    """One cotangent (or None) for each operand of the scan ``node``, given those of its items.

    ``vjp`` is that of a graph (``ir.grad``), for the body.
    """
    return _Backward(node, cotangents, vjp).run()


@dataclass
class _Turn:
    """The body of the backward scan while it is written down."""

    carries: list[Node] = field(default_factory=list)
    starts: list[Node] = field(default_factory=list)
    ends: list[Node] = field(default_factory=list)
    slices: dict[Node, Node] = field(default_factory=dict)  # outer sequence -> the turn's slice
    stacks: dict[Node, int] = field(default_factory=dict)  # node of the turn -> output's number

    def carry(self, start: Node) -> Node:
        self.starts.append(start)
        self.carries.append(make.input_node(start.type, f"carry{len(self.carries)}"))
        return self.carries[-1]

    def slice(self, sequence: Node) -> Node:
        if sequence not in self.slices:
            type_ = sequence.type.with_shape(sequence.shape[1:])
            self.slices[sequence] = make.input_node(type_, f"slice{len(self.slices)}")
        return self.slices[sequence]

    def stack(self, node: Node) -> int:
        return self.stacks.setdefault(node, len(self.stacks))


class _Backward:
    def __init__(self, node: Node, cotangents: Mapping[int, Node], vjp: Vjp) -> None:
        attrs = node.attrs
        self.vjp = vjp
        assert all(attrs["keep"]), "passes that drop histories run after differentiation"
        self.node, self.cotangents = node, cotangents
        self.graph: Graph = attrs["body"].graph
        self.length, self.reverse = attrs["length"], attrs["reverse"]
        carries, slices = attrs["carries"], attrs["slices"]
        self.count = carries
        inputs = self.graph.inputs
        self.states, self.next = inputs[:carries], self.graph.outputs[:carries]
        self.sliced = inputs[carries : carries + slices]
        self.constants = inputs[carries + slices :]
        self.outer: dict[Node, Node] = dict(zip(inputs, node.inputs, strict=True))
        self.forward = set(self.graph.nodes)
        self.varying = self._varying()
        self.known = {*self.states, *self.sliced, *self.graph.outputs}  # sequences as they are
        self.kept: dict[Node, int] = {}  # forward values that become outputs of the forward scan
        self.turn = _Turn()
        self.done: dict[Node, Node] = {}
        self.extended: Node | None = None
        self.results: Node | None = None

    def _varying(self) -> set[Node]:
        found = {*self.states, *self.sliced}
        for node in self.graph.nodes:
            if any(source in found for source in node.inputs):
                found.add(node)
        return found

    # -- the parts ------------------------------------------------------------------------------

    def run(self) -> list[Node | None]:
        parts, seeds = self._parts()
        terms = dict(zip(self.graph.inputs, parts, strict=True))
        ends: list[Node] = []
        for state, seed in seeds.items():
            part = terms[state]
            ends.append(make.full_like(seed, 0.0) if part is None else part)
        late: dict[Node, Late] = {}
        for x in self.sliced:
            part = terms[x]
            if part is not None:
                late[x] = self._stacked(part)
        for k in self.constants:
            part = terms[k]
            if part is not None:
                late[k] = self._summed(part) or self._accumulated(part, ends)
        self._build(ends)
        return [self._cotangent(x, at, seeds, late) for at, x in enumerate(self.graph.inputs)]

    def _parts(self) -> tuple[list[Node | None], dict[Node, Node]]:
        """The body's derivative: a term per body input; the carried cotangent per float state."""
        outputs: dict[Node, Node] = {}
        seeds: dict[Node, Node] = {}
        for at, (state, after) in enumerate(zip(self.states, self.next, strict=True)):
            if not is_float(state.dtype):
                continue
            start, rows = self._history_parts(at, state)
            seed = seeds[state] = self.turn.carry(start)
            total = seed if rows is None else make.add(seed, self.turn.slice(rows))
            outputs[after] = make.add(outputs[after], total) if after in outputs else total
        for at, node in enumerate(self.graph.outputs[self.count :], self.count):
            given = self.cotangents.get(at)
            if given is not None and is_float(node.dtype):
                part = self.turn.slice(given)
                outputs[node] = make.add(outputs[node], part) if node in outputs else part
        return self.vjp(outputs, self.graph.inputs), seeds

    def _history_parts(self, at: int, state: Node) -> tuple[Node, Node | None]:
        """The cotangent that the backward loop starts with, and the one that joins every turn."""
        start, rows = make.full_like(state, 0.0), None
        given = self.cotangents.get(at)
        for term in _terms(given) if given is not None else ():
            end = self._end_only(term)
            if end is not None:
                start = make.add(start, end)
            else:
                part = rows_after(term, self.reverse)
                rows = part if rows is None else make.add(rows, part)
        return start, rows

    def _end_only(self, term: Node) -> Node | None:
        """The cotangent of the last value where ``term`` is zero everywhere else."""
        if term.op.name != "pad" or term.attrs["value"] != 0.0:
            return None
        (source,), attrs = term.inputs, term.attrs
        first = "high" if self.reverse else "low"
        other = "low" if self.reverse else "high"
        flat = not any((*attrs["interior"], *attrs["low"][1:], *attrs["high"][1:]))
        if not flat or attrs[other][0] or attrs[first][0] != self.length:
            return None
        return make.reshape(source, source.shape[1:])

    # -- cotangents of constants ----------------------------------------------------------------

    def _summed(self, term: Node) -> Late | None:
        """The sum of ``term`` over all turns as one operation on stacks, where it is one."""
        name, attrs = term.op.name, term.attrs
        if name == "add":
            left, right = (self._summed(source) for source in term.inputs)
            if left is None or right is None:
                return None
            return lambda: make.add(left(), right())
        if name in ("transpose", "reshape"):
            inner = self._summed(term.inputs[0])
            if inner is None:
                return None
            return lambda: with_inputs(term, [inner()])
        if name == "sum":
            body = self._stacked(term.inputs[0])
            return lambda: make.sum(body(), (0, *(axis + 1 for axis in attrs["axes"])))
        if name == "dot" and all(self._moves(source) for source in term.inputs):
            a, b = (self._stacked(source) for source in term.inputs)
            (ca, cb), (ba, bb) = attrs["contract"], attrs["batch"]
            contract = ((0, *_up(ca)), (0, *_up(cb)))
            return lambda: make.dot(a(), b(), contract, (_up(ba), _up(bb)))
        return None

    def _moves(self, node: Node) -> bool:
        return node not in self.forward or node in self.varying

    def _accumulated(self, term: Node, ends: list[Node]) -> Late:
        carry = self.turn.carry(make.full_like(term, 0.0))
        at = len(self.turn.carries) - 1
        ends.append(make.add(carry, term))
        return lambda: self._final(at)

    def _stacked(self, node: Node) -> Late:
        """``node`` of every turn, stacked along a new first axis."""
        if node.op.name == "transpose":
            inner, perm = self._stacked(node.inputs[0]), (0, *_up(node.attrs["perm"]))
            return lambda: make.transpose(inner(), perm)
        if node in self.forward:
            if node in self.varying:
                if node not in self.known:
                    self.kept.setdefault(node, len(self.kept))
                return lambda: self._sequence(node)
            shape = (self.length, *node.shape)
            fixed = self._fixed(node)
            axes = tuple(range(1, len(shape)))
            return lambda: make.broadcast(fixed, shape, axes)
        at = self.turn.stack(node)
        return lambda: item(self._results, len(self.turn.carries) + at)

    # -- forward values -------------------------------------------------------------------------

    def _sequence(self, node: Node) -> Node:
        """The values of a varying forward node, as an outer sequence."""
        if node in self.sliced:
            return self.outer[node]
        for at, (before, after) in enumerate(zip(self.states, self.next, strict=True)):
            if node is before:
                return rows_before(item(self._extended, at), self.reverse)
            if node is after:
                return rows_after(item(self._extended, at), self.reverse)
        if node in self.known:
            return item(self._extended, self.graph.outputs.index(node))
        return item(self._extended, len(self.graph.outputs) + self.kept[node])

    def _fixed(self, node: Node) -> Node:
        """A forward node that is the same in every turn, over outer nodes."""
        new: dict[Node, Node] = dict(self.outer)
        for one in toposort([node]):
            if one not in new:
                new[one] = with_inputs(one, [new[source] for source in one.inputs])
        return new[node]

    def _keep(self, roots: Sequence[Node]) -> None:
        """Note the forward nodes whose values the backward turn reads."""
        seen: set[Node] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node not in self.forward or (node in self.varying and _free(node)):
                stack.extend(node.inputs)
            elif node in self.varying and node not in self.known:
                self.kept.setdefault(node, len(self.kept))

    def _resolve(self, root: Node) -> Node:
        """``root`` of the backward turn with forward values replaced by slices of sequences."""
        known = {*self.known, *self.kept}
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in self.done:
                continue
            if node in self.forward and node not in self.varying:
                self.done[node] = self._fixed(node)
            elif node in self.forward and node in known:
                self.done[node] = self.turn.slice(self._sequence(node))
            elif ready or not node.inputs:
                self.done[node] = with_inputs(node, [self.done[source] for source in node.inputs])
            else:
                stack.append((node, True))
                stack.extend((source, False) for source in node.inputs)
        return self.done[root]

    # -- the two scans --------------------------------------------------------------------------

    @property
    def _extended(self) -> Node:
        assert self.extended is not None
        return self.extended

    @property
    def _results(self) -> Node:
        assert self.results is not None
        return self.results

    def _build(self, ends: Sequence[Node]) -> None:
        stacks = list(self.turn.stacks)
        self._keep([*ends, *stacks])
        graph, attrs = self.graph, self.node.attrs
        body = Graph(graph.inputs, (*graph.outputs, *self.kept))
        changes = {**attrs, "body": Body(body)} if self.kept else attrs
        self.extended = make.apply("scan", *self.node.inputs, **changes)
        outputs = [self._resolve(node) for node in (*ends, *stacks)]
        turn = self.turn
        inner = [*turn.carries, *turn.slices.values()]
        backward, outer = close_body(inner, outputs)
        operands = [*turn.starts, *turn.slices, *outer]
        count = len(turn.carries)
        self.results = scan(
            backward, count, len(turn.slices), operands, self.length, not self.reverse
        )

    def _final(self, at: int) -> Node:
        return last_row(item(self._results, at), not self.reverse)

    def _cotangent(
        self, x: Node, at: int, seeds: Mapping[Node, Node], late: Mapping[Node, Late]
    ) -> Node | None:
        if x in late:
            return late[x]()
        if x not in seeds:
            return None
        found = self._final(self.turn.carries.index(seeds[x]))
        given = self.cotangents.get(at)
        return found if given is None else make.add(found, last_row(given, not self.reverse))


def _terms(node: Node) -> list[Node]:
    """The summands of a tree of additions."""
    if node.op.name != "add":
        return [node]
    return [term for source in node.inputs for term in _terms(source)]


def _up(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _free(node: Node) -> bool:
    """Whether recomputing the forward node from its operands costs nothing."""
    return node.op.name in ("broadcast", "reshape", "transpose")
