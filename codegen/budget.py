"""Planned kernels and a budget of bytes in, kernels that lie within it out.

What a forward pass leaves for the backward pass fills most of an arena. Some of it is let go of and
computed again where the backward pass needs it: values that cost no contraction first, then whole
segments of the forward pass from the few values at their ends (T. Chen et al., Training Deep Nets
with Sublinear Memory Cost, 2016). Every choice is planned in full and measured; of those that fit,
the one that repeats the least arithmetic is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from codegen.arena import known_arena
from codegen.cluster import Cluster
from codegen.driver import get_num_threads
from codegen.kernels import Kernels
from codegen.nests import plan_nests
from codegen.order import reads_of
from codegen.schedule import Schedule
from ir.errors import MemoryBudgetError, UnsupportedError
from ir.graph import Graph, Node, toposort

ALIGN = 64
SEGMENTS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
Planned = tuple[Kernels, Sequence[Schedule]]
_HEAVY = frozenset({"dot", "fold", "scan"})


@dataclass(frozen=True)
class Repeated:
    """A graph whose nodes stand in launch order, some of them copies of earlier ones."""

    graph: Graph
    groups: Mapping[Node, int]  # negative for copies, which wait until they are read
    cost: int  # multiplications and the like that the copies take
    copies: int


def within_budget(
    planned: Planned,
    budget: int,
    donated: Mapping[int, int],
    batch_inputs: Collection[int],
    rows: bool,
    scheduled: Callable[[Kernels], Sequence[Schedule]],
) -> tuple[Planned, int]:
    """Kernels whose intermediates take at most ``budget`` bytes, and how many nodes are repeated.

    Raises ``MemoryBudgetError`` with the smallest arena found where none fits, and
    ``UnsupportedError`` for sizes that are not known.
    """
    kernels, plans = planned
    if any(not isinstance(size, int) for node in kernels.fusion.graph.nodes for size in node.shape):
        raise UnsupportedError("a memory budget needs sizes that are known")
    threads = get_num_threads()  # some arrays are there once for each
    plain = known_arena(kernels, plans, ALIGN, threads).total
    if plain <= budget:
        return planned, 0
    saved = Saved(kernels)
    choices = {frozenset(kept): saved.repeat(kept) for kept in saved.choices()}
    smallest = plain
    for choice in sorted(choices.values(), key=lambda repeated: repeated.cost):
        again = plan_nests(choice.graph, donated, batch_inputs, rows, choice.groups)
        found = again, scheduled(again)
        size = known_arena(*found, ALIGN, threads).total
        if size <= budget:
            return found, choice.copies
        smallest = min(smallest, size)
    raise MemoryBudgetError(budget, smallest, plain)


class Saved:
    """What lives over the moment of most memory, and what may be left out of it."""

    def __init__(self, kernels: Kernels) -> None:
        self.graph, self.fusion = kernels.fusion.graph, kernels.fusion
        self.order = kernels.order
        self.place_of = {n: at for at, c in enumerate(self.order) for n in _nodes_of(c)}
        self.stored = [self.fusion.stored(c) for c in self.order]
        self.reads = [reads_of(c, self.fusion.member) for c in self.order]
        self.last = {node: place for place, nodes in enumerate(self.reads) for node in nodes}
        self.peak = self._peak()
        # made before the peak and read after it: a loop's or LAPACK's result stays
        self.candidates = [
            node
            for place, cluster in enumerate(self.order[: self.peak])
            for node in self.stored[place]
            if cluster.alone is None
            and node not in self.fusion.outputs
            and self.last.get(node, -1) >= self.peak
        ]

    def choices(self) -> list[set[Node]]:
        """Sets of candidates to keep, the rest being computed again."""
        light = {node for node in self.candidates if self._is_light(node)}
        found = [set(self.candidates) - light] if light else []
        total = sum(map(size_of, self.candidates))
        for count in SEGMENTS:
            if count > len(self.candidates):
                break
            cuts = [self._cut(total * part // count) for part in range(1, count)]
            kept = {node for cut in cuts for node in self._across(cut)}
            # the last segment's backward pass comes first: what it saved is let go of anyway
            tail = {n for n in self.candidates if self.place_of[n] > cuts[-1]}
            found += [kept | tail, kept] if tail - kept else [kept]
        return found

    def repeat(self, kept: Collection[Node]) -> Repeated:
        """The graph in which the rest of the candidates is computed again after the peak."""
        return _Rewriter(self, {*kept, *self._staying()}).run()

    def _staying(self) -> set[Node]:
        """Stored values that nobody computes again: outputs, and those of loops and call-outs."""
        return {
            node
            for place, nodes in enumerate(self.stored)
            for node in nodes
            if self.order[place].alone is not None or node in self.fusion.outputs
        }

    def _peak(self) -> int:
        change = [0] * (len(self.order) + 1)
        for place, nodes in enumerate(self.stored):
            for node in nodes:
                if node not in self.fusion.outputs:
                    change[place] += size_of(node)
                    change[self.last.get(node, place) + 1] -= size_of(node)
        alive, most, at = 0, -1, 0
        for place, step in enumerate(change[:-1]):
            alive += step
            if alive > most:
                most, at = alive, place
        return at

    def _cut(self, share: int) -> int:
        """The launch near ``share`` of the saved bytes with the least to keep across it."""
        places = [self.place_of[node] for node in self.candidates]
        seen, near = 0, len(places) - 1
        for at, node in enumerate(self.candidates):
            seen += size_of(node)
            if seen >= share:
                near = at
                break
        around = max(2, len(places) // 16)
        nearby = places[max(0, near - around) : near + around + 1]
        return min(
            dict.fromkeys(range(nearby[0], nearby[-1] + 1)),
            key=lambda cut: (sum(map(size_of, self._across(cut))), abs(cut - places[near])),
        )

    def _across(self, cut: int) -> set[Node]:
        """What the forward pass after ``cut`` reads of what was stored up to it."""
        later = {n for reads in self.reads[cut + 1 : self.peak] for n in reads}
        return {n for nodes in self.stored[: cut + 1] for n in nodes if n in later}

    def _is_light(self, node: Node) -> bool:
        """Whether ``node`` follows from other candidates without a contraction or reduction."""
        others = set(self.candidates) - {node}
        stack, seen = [node], set[Node]()
        while stack:
            one = stack.pop()
            if one in seen or one.op.name == "input" or (one in others and one is not node):
                continue
            seen.add(one)
            heavy = one.op.name in _HEAVY or one.op.family in ("reduction", "indexing", "factor")
            if heavy or one.op.name in ("item", "rank", "cumsum"):
                return False
            stack += one.inputs
        return True


class _Rewriter:
    """Emits every node in launch order, and copies just before those that read them."""

    def __init__(self, saved: Saved, available: set[Node]) -> None:
        self.saved, self.available = saved, available
        self.late: dict[Node, Node] = {}  # a node as what runs after the peak reads it
        self.order: list[Node] = []
        self.emitted: set[Node] = set()
        self.groups: dict[Node, int] = {}
        self.cost = self.copies = 0

    def run(self) -> Repeated:
        saved, graph = self.saved, self.saved.graph
        ranks = {node: at for at, node in enumerate(graph.nodes)}
        for node in graph.inputs:
            self._emit(node)
        for place, cluster in enumerate(saved.order):
            for node in sorted(_nodes_of(cluster), key=ranks.__getitem__):
                if place < saved.peak:
                    self._emit(node)
                    continue
                for source in node.inputs:
                    self._resolve(source, place)
                self._take(node, self._rebuilt(node), place + 1)
        outputs = tuple(self.late.get(node, node) for node in graph.outputs)
        for node in outputs:
            self._emit(node)
        # a value that only the backward pass reads may be made there alone
        needed = {*graph.inputs, *toposort(outputs)}
        order = [node for node in self.order if node in needed]
        names = graph.input_names, graph.output_names
        rewritten = Graph(graph.inputs, outputs, *names, _order=order)
        return Repeated(rewritten, self.groups, self.cost, self.copies)

    def _resolve(self, root: Node, place: int) -> None:
        """Make what launch ``place`` reads of ``root``: a copy where it is gone."""
        stack = [(root, 0)]
        while stack:
            node, at = stack.pop()
            if self._known(node) is not None:
                continue
            if at < len(node.inputs):
                stack.append((node, at + 1))
                stack.append((node.inputs[at], 0))
                continue
            found = self._rebuilt(node)
            if node in self.saved.place_of:
                found = Node(node.op, found.inputs, node.attrs, node.type, node.loc)
                self.cost += _cost(node)
                self.copies += 1
            self._take(node, found, -place - 1)

    def _take(self, node: Node, found: Node, group: int) -> None:
        self.late[node] = found
        self.groups.setdefault(found, group)
        self._emit(found)

    def _rebuilt(self, node: Node) -> Node:
        """``node`` over what its inputs are now; itself where they are as they were."""
        inputs = tuple([self._known(source) or source for source in node.inputs])
        if inputs == node.inputs:
            return node
        return Node(node.op, inputs, node.attrs, node.type, node.loc)

    def _known(self, node: Node) -> Node | None:
        if node in self.late:
            return self.late[node]
        return node if node.op.name == "input" or node in self.available else None

    def _emit(self, node: Node) -> None:
        """Append ``node`` after all that it needs."""
        stack = [(node, 0)]
        while stack:
            one, at = stack.pop()
            if one in self.emitted:
                continue
            if at < len(one.inputs):
                stack.append((one, at + 1))
                stack.append((one.inputs[at], 0))
            else:
                self.emitted.add(one)
                self.order.append(one)


def _nodes_of(cluster: Cluster) -> list[Node]:
    own = [] if cluster.alone is None else [cluster.alone]
    return list(dict.fromkeys([*own, *cluster.inner, *cluster.members]))


def size_of(node: Node) -> int:
    """The bytes of a value of known size."""
    return int(node.dtype.itemsize * math.prod(node.shape))


def _cost(node: Node) -> int:
    """Multiplications of one node, roughly: enough to tell choices apart."""
    points = math.prod(node.shape)
    if node.op.name == "dot":
        return int(points * math.prod(node.inputs[0].shape[k] for k in node.attrs["contract"][0]))
    if node.op.family == "reduction":
        return int(math.prod(node.inputs[0].shape))
    return int(points * max(1, node.op.cost)) if node.op.family == "elementwise" else 0
