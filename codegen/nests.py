"""A graph in, its kernels as loop nests out: fusion, layout and order decided.

Values that keep the batch stay in "lanes" order (sixteen rows side by side) inside the program;
inputs, outputs and state stay row-major as the caller sees them. Where a kernel wants a value in
the other order, a copy kernel makes it once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import product as combinations

from codegen.batch import batch_axes
from codegen.blocks import block_points
from codegen.calls import Call
from codegen.cluster import Cluster
from codegen.fuse import Fusion, fuse
from codegen.halo import with_halos
from codegen.index import ZERO, Axis, Index, add, of_axis, scale
from codegen.lanes import contraction_axis
from codegen.loops import Loop, Place, lay_out
from codegen.lower import Lowering
from codegen.nest import Buffer, Load, Nest, Root, walk
from codegen.order import launch_order, predecessors, reads_of, weight_of
from codegen.patterns import stands_alone
from codegen.relayout import (
    SMALL_BATCH,
    Copy,
    Order,
    copy_of,
    order_name,
    wanted_orders,
)
from codegen.split import split_sums
from ir.dims import Size
from ir.errors import UnsupportedError
from ir.graph import Graph, Node
from ir.passes import run_passes
from ir.types import DType


@dataclass(frozen=True, eq=False)
class Kernels:
    """The nests of a program in launch order, and where inputs and outputs live."""

    nests: tuple[Nest, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    old: tuple[int | None, ...]  # for each output the input that it merely repeats
    copies: tuple[tuple[Buffer, Buffer], ...]  # (from, to) after the last kernel: late state
    fusion: Fusion
    order: tuple[Cluster, ...] = ()
    loops: tuple[Loop, ...] = ()
    places: Mapping[Buffer, Place] = field(default_factory=dict)  # buffers that are rows of others
    calls: tuple[Call, ...] = ()


def build_nests(
    graph: Graph,
    donated: Mapping[int, int],
    batch_inputs: Collection[int],
    rows: bool = False,
) -> Kernels:
    """Plan the kernels of ``graph``; ``rows``: kernels of reductions may store along their rows."""
    return plan_nests(with_halos(split_sums(graph)), donated, batch_inputs, rows, {})


def plan_nests(
    graph: Graph,
    donated: Mapping[int, int],
    batch_inputs: Collection[int],
    rows: bool,
    groups: Mapping[Node, int],
) -> Kernels:
    """The same of a graph that is split and has its rims; nodes of two groups share no kernel."""
    tags = batch_axes(graph, batch_inputs)
    return _Planner(graph, donated, tags, rows=rows, groups=groups).plan()


class _Planner:
    def __init__(
        self,
        graph: Graph,
        donated: Mapping[int, int],
        tags: Mapping[Node, int | None],
        names: set[str] | None = None,
        prefix: str = "",
        rows: bool = False,
        groups: Mapping[Node, int] | None = None,
    ) -> None:
        self.graph, self.donated = graph, donated
        self.fusion = fuse(graph, rows, groups)
        self.rows = rows
        self.tags, self.prefix = tags, prefix
        self.buffers: dict[Node, Buffer] = {}
        self.copies: dict[tuple[Node, Order], Copy] = {}
        self.names: set[str] = set() if names is None else names
        self.loops: list[Loop] = []
        self.calls: list[Call] = []
        self.fallible = any(node.op.family == "factor" for node in graph.nodes)
        self.places: dict[Buffer, Place] = {}
        self.probes: dict[Node, Buffer] = {}  # stand-ins, to see where a kernel reads
        self.loads: dict[int, dict[Buffer, list[tuple[Index, ...]]]] = {}  # of them, by cluster
        self.made = {c.number: self.fusion.stored(c) for c in self.fusion.clusters}
        self.last: dict[Node, int] = {}  # the place in launch order of each node's last reader

    def plan(self) -> Kernels:
        names = self.graph.input_names or tuple(
            str(node.attrs.get("name", f"in{at}")) for at, node in enumerate(self.graph.inputs)
        )
        for node, name in zip(self.graph.inputs, names, strict=True):
            self.buffers[node] = self._buffer(name, node, None)
        targets = self._targets()
        order = self._order()
        for place, cluster in enumerate(order):
            for node in self.made[cluster.number]:
                self._assign(node, targets, cluster, place)
        nests: list[Nest] = []
        done: set[Buffer] = set()
        for cluster in order:
            if cluster.alone is not None:
                nests += self._alone(cluster.alone, len(nests))
                continue
            nest, copies = self._nest(cluster)
            nests += [copy.nest for copy in copies if copy.buffer not in done]
            done.update(copy.buffer for copy in copies)
            nests.append(nest)
        numbers = {node: at for at, node in enumerate(self.graph.inputs)}
        return Kernels(
            tuple(nests),
            tuple(self.buffers[node] for node in self.graph.inputs),
            tuple(self.buffers[node] for node in self.graph.outputs),
            tuple(numbers.get(node) for node in self.graph.outputs),
            self._late_state(),
            self.fusion,
            tuple(order),
            tuple(self.loops),
            self.places,
            tuple(self.calls),
        )

    def _late_state(self) -> tuple[tuple[Buffer, Buffer], ...]:
        """(from, to) for each donated output that was not computed in place."""
        pairs = [
            (self.buffers[self.graph.outputs[out]], self.buffers[self.graph.inputs[into]])
            for out, into in self.donated.items()
        ]
        return tuple((source, target) for source, target in pairs if source is not target)

    # -- buffers ------------------------------------------------------------------------------

    def _buffer(self, name: str, node: Node, batch: int | None) -> Buffer:
        return Buffer(self._unique(name), node.dtype, node.shape, batch)

    def _unique(self, name: str) -> str:
        clean = "".join(c if c.isalnum() and c.isascii() else "_" for c in name).strip("_") or "t"
        if clean[0].isdigit():
            clean = f"t{clean}"
        unique, at = clean, 1
        while unique in self.names:
            at += 1
            unique = f"{clean}_{at}"
        self.names.add(unique)
        return unique

    def _targets(self) -> dict[Node, Node]:
        """For each donated output the input whose memory it takes."""
        found: dict[Node, Node] = {}
        for out, into in self.donated.items():
            node = self.graph.outputs[out]
            if node.op.name != "input":
                found.setdefault(node, self.graph.inputs[into])
        return found

    def _assign(
        self,
        node: Node,
        targets: Mapping[Node, Node],
        cluster: Cluster,
        place: int,
    ) -> None:
        """Give a stored node its buffer: the donated input's where no one still reads it."""
        target = targets.get(node)
        if target is None:
            lanes = None if node in self.fusion.outputs else self._lanes(node)
            lanes = None if lanes == cluster.blocks.get(node, (None,))[0] else lanes
            name = node.op.name if node.op.family != "movement" else "t"
            self.buffers[node] = self._buffer(name, node, lanes)
            return
        late = self.last.get(target, -1) > place or cluster.alone is not None
        late = late or self.fallible  # a call may raise, and then no state has changed
        if not late and self._same_point(cluster, node, target):
            self.buffers[node] = self.buffers[target]
        else:
            self.buffers[node] = self._buffer(f"{self.buffers[target].name}_new", node, None)

    def _lanes(self, node: Node) -> int | None:
        tag = self.tags[node]
        if tag is None or node.type.rank == 0 or self._in_rows(node):
            return None
        size = node.shape[tag]
        return None if isinstance(size, int) and size < SMALL_BATCH else tag

    def _in_rows(self, node: Node) -> bool:
        """Whether a loop or LAPACK reads or makes it."""
        whole = node.op.name == "item" or node.op.family == "factor"
        return whole or any(stands_alone(user) for user in self.fusion.users[node])

    def _same_point(self, cluster: Cluster, node: Node, target: Node) -> bool:
        """Whether the kernel reads the old value only where it writes the new one."""
        if not self.probes:
            known = (*self.graph.inputs, *self.fusion.member)
            self.probes = {n: Buffer("probe", n.dtype, n.shape) for n in known}
        if cluster.number not in self.loads:
            self.loads[cluster.number] = self._loads_of(cluster)
        mine = _points(cluster, node)
        return all(mine == [index] for index in self.loads[cluster.number][self.probes[target]])

    def _loads_of(self, cluster: Cluster) -> dict[Buffer, list[tuple[Index, ...]]]:
        """Where the kernel reads each stand-in."""
        rows = dict.fromkeys(cluster.core, cluster.rows.within) if cluster.rows else {}
        probe = Lowering(self.probes, cluster.inlined, rows=rows)
        values = []
        for member in self.made[cluster.number]:
            values += [probe.element(member, index) for index in _points(cluster, member)]
        found: dict[Buffer, list[tuple[Index, ...]]] = defaultdict(list)
        for expr in walk(values):
            if isinstance(expr, Load):
                found[expr.buffer].append(expr.index)
        return found

    # -- order ----------------------------------------------------------------------------------

    def _order(self) -> list[Cluster]:
        """Producers first; a kernel that overwrites state after the kernels that read it."""
        clusters = self.fusion.clusters
        reads = {c.number: reads_of(c, self.fusion.member) for c in clusters}
        before = predecessors(clusters, reads, self.made, self.fusion.member, self._targets())
        given = {*self.graph.inputs, *self.graph.outputs}
        order = launch_order(
            clusters,
            before,
            reads,
            self.made,
            lambda node: 0 if node in given else weight_of(node),
            frugal=bool(self.fusion.groups),
        )
        for place, cluster in enumerate(order):
            self.last.update(dict.fromkeys(reads[cluster.number], place))
        return order

    # -- loops and calls ------------------------------------------------------------------------

    def _alone(self, node: Node, first: int) -> list[Nest]:
        if node.op.name == "scan":
            return self._loop(node, first)
        operands = tuple(self.buffers[source] for source in node.inputs)
        self.calls.append(Call(first, node, operands, self.buffers[node]))
        return []

    def _loop(self, scan: Node, first: int) -> list[Nest]:
        """The nests of a scan: its carries' first rows, then one turn."""
        body = with_halos(run_passes(scan.attrs["body"].graph))
        tags: dict[Node, int | None] = dict.fromkeys(body.nodes)
        prefix = f"{self.prefix}turn{len(self.loops)}_"
        turn = _Planner(body, {}, tags, self.names, prefix, self.rows).plan()
        items: dict[int, Buffer] = {
            node.attrs["index"]: self.buffers[node] for node in self.fusion.users[scan]
        }
        done = lay_out(scan, turn, self.buffers, items, self._fresh)
        self.places.update(done.places)
        if turn.loops or turn.calls:
            kind = "a loop" if turn.loops else turn.calls[0].node.op.name
            raise UnsupportedError(f"{kind} inside a loop has no lowering ({scan.loc})")
        fixed = _fixed_copies(turn, scan)
        before = [*done.before, *fixed]
        start = first + len(before)
        nests = [*before, *(nest for nest in turn.nests if nest not in fixed), *done.after]
        self.loops.append(Loop(start, first + len(nests), scan.attrs["length"]))
        return nests

    def _fresh(self, name: str, dtype: DType, shape: tuple[Size, ...]) -> Buffer:
        return Buffer(self._unique(name), dtype, shape, None)

    # -- nests ----------------------------------------------------------------------------------

    def _nest(self, cluster: Cluster) -> tuple[Nest, list[Copy]]:
        """The cluster's nest, and the copies in another order that it reads."""
        heavy = _is_contraction(cluster)
        nest, loaded = self._lower(cluster, {})
        copies: list[Copy] = []
        if heavy:
            orders = wanted_orders(nest, loaded, self.tags)
            copies = [self._copy(node, order) for node, order in orders.items()]
            if copies:
                nest, _ = self._lower(cluster, {copy.node: copy for copy in copies})
        return replace(nest, rows=contraction_axis(nest) if heavy else None), copies

    def _copy(self, node: Node, order: Order) -> Copy:
        found = self.copies.get((node, order))
        if found is None:
            old = self.buffers[node]
            name = self._unique(f"{old.name}_{order_name(order)}")
            found = self.copies[node, order] = copy_of(node, old, order, name)
        return found

    def _lower(
        self, cluster: Cluster, copies: Mapping[Node, Copy]
    ) -> tuple[Nest, Mapping[Buffer, Node]]:
        """The cluster's nest, and whose value each buffer holds that it reads."""
        within = cluster.rows.within if cluster.rows else ()
        rows = dict.fromkeys(cluster.core, within)
        lowering = Lowering(self.buffers, cluster.inlined, copies, rows)
        stored = self.fusion.stored(cluster)
        roots = []
        for node in stored:
            for phase, index in enumerate(_points(cluster, node)):
                value = lowering.element(node, index)
                loops = within if cluster.rows and _is_along(cluster, node) else ()
                roots.append(Root(self.buffers[node], index, value, phase, loops))
        batch = self._batch_axis(cluster)
        first = (cluster.core or stored)[0]
        nest = Nest(
            f"{self.prefix}k{cluster.number}_{_title(cluster)}",
            tuple(a for a in cluster.axes if a.extent != 1),
            tuple(roots),
            batch,
            first.loc,
            _comment(cluster),
            contracts=_is_contraction(cluster),
        )
        return nest, lowering.loaded

    def _batch_axis(self, cluster: Cluster) -> Axis | None:
        """The kernel's batch axis; none for a contraction whose results must lie in rows."""
        stored = self.fusion.stored(cluster)
        if _is_contraction(cluster) and any(self._in_rows(node) for node in stored):
            return None
        for node, places in cluster.members.items():
            tag = self.tags[node]
            if tag is None or places[tag] is None:
                continue
            axis = places[tag]
            if axis not in cluster.axes:
                continue
            if not isinstance(axis.extent, int) or axis.extent >= SMALL_BATCH:
                return axis
        return None


def _is_contraction(cluster: Cluster) -> bool:
    return any(node.op.name in ("dot", "fold") for node in cluster.inlined)


def _fixed_copies(turn: Kernels, scan: Node) -> list[Nest]:
    """The copies that one turn makes of what no turn changes."""
    fixed = turn.inputs[scan.attrs["carries"] + scan.attrs["slices"] :]
    return [n for n in turn.nests if n.is_copy and all(e.buffer in fixed for e in n.loads)]


def _is_along(cluster: Cluster, node: Node) -> bool:
    """Whether ``node`` has an element for every place along a row, not one for the row."""
    assert cluster.rows is not None
    return any(place in cluster.rows.within for place in cluster.members[node])


def _points(cluster: Cluster, node: Node) -> list[tuple[Index, ...]]:
    """Where the elements of ``node`` lie that one point of the kernel computes."""
    if node in cluster.blocks:
        return block_points(cluster, node)
    found: list[tuple[Index, ...]] = []
    for phases in combinations(*(range(by) for by in cluster.phases.values())):
        first = dict(zip(cluster.phases, phases, strict=True))
        found.append(
            tuple(
                ZERO
                if place is None
                else add(scale(of_axis(place), cluster.phases.get(place, 1)), first.get(place, 0))
                for place in cluster.members[node]
            )
        )
    return found


def _title(cluster: Cluster) -> str:
    nodes = (*cluster.inner, *cluster.members)
    names = [n.op.name for n in nodes if n.op.family != "movement" or n.op.name == "fold"]
    kept = list(dict.fromkeys(names))
    return "_".join(kept[:4]) or "copy"


def _comment(cluster: Cluster) -> str:
    names = [n.op.name for n in sorted(cluster.inlined, key=lambda n: n.op.name)]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    fused = ", ".join(name if k == 1 else f"{name} x{k}" for name, k in counts.items())
    return f"{cluster.reason}; fused: {fused}"
