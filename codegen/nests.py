"""A graph in, its kernels as loop nests out: fusion, layout and order decided.

Values that keep the batch stay in "lanes" order (sixteen rows side by side) inside the program;
inputs, outputs and state stay row-major as the caller sees them. Where a kernel wants a value in
the other order, a copy kernel makes it once.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, replace

from codegen.alike import Makeup, can_rename, loads_of, makeup, renamed
from codegen.attention import prefers_rows, with_weights_again
from codegen.batch import batch_axes
from codegen.calls import Call
from codegen.cluster import (
    Cluster,
    comment_of,
    is_along,
    is_contraction,
    points_of,
    title_of,
)
from codegen.counted import counted_order, is_long
from codegen.fuse import fuse
from codegen.halo import with_halos
from codegen.heads import Heads
from codegen.index import Axis, Index
from codegen.kernels import Kernels
from codegen.lanes import contraction_axis, reads_across
from codegen.launches import launches_of
from codegen.loops import Loop, Place, fixed_copies, lay_out
from codegen.lower import Lowering
from codegen.naming import Names
from codegen.nest import Buffer, Nest, Root
from codegen.patterns import is_called, stands_alone
from codegen.relayout import (
    SMALL_BATCH,
    Copy,
    Order,
    by_lanes,
    copy_of,
    order_name,
    summed_lanes,
    wanted_orders,
)
from codegen.sequence import NestSequence
from codegen.split import split_sums
from codegen.strips import Chain, turns
from codegen.winograd import with_winograd
from ir.dims import Size
from ir.errors import UnsupportedError
from ir.graph import Graph, Node
from ir.passes import run_passes
from ir.types import DType


def build_nests(
    graph: Graph,
    donated: Mapping[int, int],
    batch_inputs: Collection[int],
    rows: bool = False,
    tiles: bool = False,
    orders: bool = True,
) -> Kernels:
    """Plan the kernels of ``graph``; ``rows``: kernels of reductions may store along their rows;
    ``tiles``: convolutions may go by Winograd's algorithm; ``orders``: contractions read copies of
    operands in the order that lanes want."""
    graph = split_sums(counted_order(graph, is_long))
    graph = with_winograd(graph) if tiles else graph
    graph = with_halos(graph)
    graph = with_weights_again(graph) if rows and orders else graph
    return plan_nests(graph, donated, batch_inputs, rows, {}, orders)


def plan_nests(
    graph: Graph,
    donated: Mapping[int, int],
    batch_inputs: Collection[int],
    rows: bool,
    groups: Mapping[Node, int],
    orders: bool = True,
) -> Kernels:
    """The same of a graph that is split and has its rims; nodes of two groups share no kernel."""
    by_rows = rows and orders and prefers_rows(graph)
    tags = batch_axes(graph, () if by_rows else batch_inputs)
    return _Planner(graph, donated, tags, rows=rows, groups=groups, orders=orders).plan()


@dataclass(frozen=True, eq=False)
class _Known:
    """A nest that was planned: the arrays it touches, and its copies by the leaf they copy."""

    nest: Nest
    arrays: tuple[Buffer, ...]
    copied: tuple[tuple[int, Copy], ...]


class _Planner:
    def __init__(
        self,
        graph: Graph,
        donated: Mapping[int, int],
        tags: Mapping[Node, int | None],
        names: Names | None = None,
        prefix: str = "",
        rows: bool = False,
        groups: Mapping[Node, int] | None = None,
        orders: bool = True,
    ) -> None:
        self.graph, self.donated = graph, donated
        self.fusion = fuse(graph, rows, groups)
        self.rows, self.orders = rows, orders
        self.tags, self.prefix = tags, prefix
        self.buffers: dict[Node, Buffer] = {}
        self.copies: dict[tuple[Node, Order], Copy] = {}
        self.names = names or Names()
        self.whole = {n for node in graph.nodes if stands_alone(node) for n in node.inputs}
        self.loops: list[Loop] = []
        self.calls: list[Call] = []
        self.fallible = any(node.op.family == "factor" for node in graph.nodes)
        self.places: dict[Buffer, Place] = {}
        self.probes: dict[Node, Buffer] = {}  # stand-ins, to see where a kernel reads
        self.loads: dict[Hashable, dict[int, list[tuple[Index, ...]]]] = {}  # by what is alike
        self.known: dict[Hashable, _Known] = {}
        self.copy_nests: dict[Hashable, Nest] = {}
        self.made = {c.number: self.fusion.stored(c) for c in self.fusion.clusters}
        met: dict[Hashable, int] = {}
        self.makeups = {
            c.number: makeup(c, self.made[c.number], self.fusion.member, tags, met)
            for c in self.fusion.clusters
            if c.alone is None
        }
        self.last: Mapping[Node, int] = {}  # the place in launch order of each node's last reader
        self.sequence = NestSequence()
        self.held: dict[Node, tuple[tuple[int, int], ...]] = {}  # what has room for strips only

    def plan(self) -> Kernels:
        names = self.graph.input_names or tuple(
            str(node.attrs.get("name", f"in{at}")) for at, node in enumerate(self.graph.inputs)
        )
        for node, name in zip(self.graph.inputs, names, strict=True):
            self.buffers[node] = self._buffer(name, node, None)
        targets = self._targets()
        by_heads = self.rows and self.orders and not self.prefix
        launches = launches_of(self.graph, self.fusion, self.made, self.tags, targets, by_heads)
        self.last, order = launches.last, launches.order
        for chain in launches.groups:
            self.held.update(chain.held if isinstance(chain, Chain) else {})
        for place, cluster in enumerate(order):
            for node in self.made[cluster.number]:
                self._assign(node, targets, cluster, place)
        for clusters, group in turns(order, launches.groups):
            if clusters[0].alone is not None:
                self.sequence.nests += self._alone(clusters[0].alone)
                continue
            if isinstance(group, Heads):  # far from the one before, which copies should not outlive
                self.copies = {k: c for k, c in self.copies.items() if k[0].op.name == "input"}
            found = [self._nest(cluster) for cluster in clusters]
            rows: list[Nest] = []
            if not isinstance(group, Heads):
                found, rows = self._by_lanes(found)
            self.sequence.append(found, group, self.buffers)
            self.sequence.nests += rows
        numbers = {node: at for at, node in enumerate(self.graph.inputs)}
        return Kernels(
            tuple(self.sequence.nests),
            tuple(self.buffers[node] for node in self.graph.inputs),
            tuple(self.buffers[node] for node in self.graph.outputs),
            tuple(numbers.get(node) for node in self.graph.outputs),
            self._late_state(),
            self.fusion,
            tuple(order),
            tuple(self.loops),
            self.places,
            tuple(self.calls),
            tuple(self.sequence.groups),
        )

    def _late_state(self) -> tuple[tuple[Buffer, Buffer], ...]:
        """(from, to) for each donated output that was not computed in place."""
        pairs = [
            (self.buffers[self.graph.outputs[out]], self.buffers[self.graph.inputs[into]])
            for out, into in self.donated.items()
        ]
        return tuple((source, target) for source, target in pairs if source is not target)

    # -- buffers ------------------------------------------------------------------------------

    def _buffer(
        self, name: str, node: Node, batch: int | None, strips: tuple[tuple[int, int], ...] = ()
    ) -> Buffer:
        return Buffer(self.names.unique(name), node.dtype, node.shape, batch, strips)

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
            self.buffers[node] = self._buffer(name, node, lanes, self.held.get(node, ()))
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
        """Whether a loop, LAPACK or NumPy reads or makes it."""
        return node.op.name == "item" or is_called(node) or node in self.whole

    def _same_point(self, cluster: Cluster, node: Node, target: Node) -> bool:
        """Whether the kernel reads the old value only where it writes the new one."""
        if not self.probes:
            known = (*self.graph.inputs, *self.fusion.member)
            self.probes = {n: Buffer("probe", n.dtype, n.shape) for n in known}
        alike = self.makeups[cluster.number]
        loads = self.loads.get(alike.key)
        if loads is None:
            loads = self.loads[alike.key] = loads_of(cluster, alike, self.probes)
        mine = points_of(cluster, node)
        return all(mine == [index] for index in loads.get(alike.numbers.get(target, -1), []))

    # -- loops and calls ------------------------------------------------------------------------

    def _alone(self, node: Node) -> list[Nest]:
        first = len(self.sequence.nests)
        if node.op.name == "scan":
            return self._loop(node, first)
        operands = tuple(self.buffers[source] for source in node.inputs)
        self.calls.append(Call(first, node, operands, self.buffers[node]))
        return []

    def _loop(self, scan: Node, first: int) -> list[Nest]:
        """The nests of a scan: its carries' first rows, then one turn."""
        body = with_halos(counted_order(run_passes(scan.attrs["body"].graph)))
        tags: dict[Node, int | None] = dict.fromkeys(body.nodes)
        prefix = f"{self.prefix}turn{len(self.loops)}_"
        turn = _Planner(body, {}, tags, self.names, prefix, self.rows, orders=self.orders).plan()
        items: dict[int, Buffer] = {
            node.attrs["index"]: self.buffers[node] for node in self.fusion.users[scan]
        }
        done = lay_out(scan, turn, self.buffers, items, self._fresh)
        self.places.update(done.places)
        if turn.loops or turn.calls:
            kind = "a loop" if turn.loops else turn.calls[0].node.op.name
            raise UnsupportedError(f"{kind} inside a loop has no lowering ({scan.loc})")
        fixed = fixed_copies(turn, scan)
        before = [*done.before, *fixed]
        start = first + len(before)
        nests = [*before, *(nest for nest in turn.nests if nest not in fixed), *done.after]
        self.loops.append(Loop(start, first + len(nests), scan.attrs["length"]))
        return nests

    def _fresh(self, name: str, dtype: DType, shape: tuple[Size, ...]) -> Buffer:
        return Buffer(self.names.unique(name), dtype, shape, None)

    # -- nests ----------------------------------------------------------------------------------

    def _nest(self, cluster: Cluster) -> tuple[Nest, list[Copy]]:
        """The cluster's nest, and the copies in another order that it reads."""
        alike = self.makeups[cluster.number]
        key = alike.with_buffers(self.buffers, self._in_rows)
        known = self.known.get(key)
        if known is None:
            nest, copies = self._plan(cluster)
            if can_rename(nest):
                copied = tuple((alike.leaves.index(copy.node), copy) for copy in copies)
                self.known[key] = _Known(nest, tuple(self._arrays(alike)), copied)
            return nest, copies
        copies = [self._copy(alike.leaves[at], copy.order) for at, copy in known.copied]
        to = dict(zip(known.arrays, self._arrays(alike), strict=True))
        for (_, old), new in zip(known.copied, copies, strict=True):
            to[old.buffer] = new.buffer
        first = (cluster.core or alike.stored)[0]
        return renamed(known.nest, self._name(cluster), first, to), copies

    def _arrays(self, alike: Makeup) -> list[Buffer]:
        return [self.buffers[node] for node in (*alike.leaves, *alike.stored)]

    def _plan(self, cluster: Cluster) -> tuple[Nest, list[Copy]]:
        """The same of a cluster that is like none before it."""
        heavy = is_contraction(cluster)
        nest, loaded = self._lower(cluster, {})
        copies: list[Copy] = []
        summed = summed_lanes(nest) if heavy and self.rows else None
        if summed is not None:
            return replace(nest, rows=summed), []
        if heavy and self.orders:
            orders = wanted_orders(nest, loaded, self.tags)
            copies = [self._copy(node, order) for node, order in orders.items()]
            if copies:
                nest, _ = self._lower(cluster, {copy.node: copy for copy in copies})
        rows = contraction_axis(nest) if heavy else None
        rows = None if rows is None or reads_across(nest, rows) else rows
        return replace(nest, rows=rows), copies

    def _by_lanes(
        self, found: list[tuple[Nest, list[Copy]]]
    ) -> tuple[list[tuple[Nest, list[Copy]]], list[Nest]]:
        """Large outputs as the lanes lie, and copies into rows; not where memory is short."""
        if not (self.rows and self.orders) or self.fusion.groups:
            return found, []
        state, fresh = {self.buffers[node] for node in self.graph.inputs}, self.names.unique
        done = [(by_lanes(nest, state, fresh), copies) for nest, copies in found]
        return [(nest, c) for (nest, _), c in done], [r for (_, rows), _ in done for r in rows]

    def _copy(self, node: Node, order: Order) -> Copy:
        found = self.copies.get((node, order))
        if found is None:
            old = self.buffers[node]
            name = self.names.unique(f"{old.name}_{order_name(order)}")
            found = self.copies[node, order] = copy_of(node, old, order, name)
            alike = (old.dtype, old.shape, old.batch, order)
            first = self.copy_nests.setdefault(alike, found.nest)
            if first is not found.nest:
                found.nest.likened(first)
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
            for phase, index in enumerate(points_of(cluster, node)):
                value = lowering.element(node, index)
                loops = within if cluster.rows and is_along(cluster, node) else ()
                roots.append(Root(self.buffers[node], index, value, phase, loops))
        batch = self._batch_axis(cluster)
        first = (cluster.core or stored)[0]
        nest = Nest(
            self._name(cluster),
            tuple(a for a in cluster.axes if a.extent != 1),
            tuple(roots),
            batch,
            first.loc,
            comment_of(cluster),
            contracts=is_contraction(cluster),
        )
        return nest, lowering.loaded

    def _name(self, cluster: Cluster) -> str:
        return f"{self.prefix}k{cluster.number}_{title_of(cluster)}"

    def _batch_axis(self, cluster: Cluster) -> Axis | None:
        """The kernel's batch axis; none for a contraction whose results must lie in rows."""
        stored = self.fusion.stored(cluster)
        if is_contraction(cluster) and any(self._in_rows(node) for node in stored):
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
