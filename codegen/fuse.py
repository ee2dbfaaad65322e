"""A graph in, clusters out: which nodes share a kernel, and which values reach memory.

Every contraction and reduction is the core of a cluster. Elementwise nodes over the same points
join the latest cluster they read from (an epilogue: bias, activation, the optimizer's update);
nodes before a core are computed where it reads them (a prologue), unless the cost model says that
storing them once is cheaper. A pooling window that does not overlap joins the contraction it
reads. Cluster ``k`` reads only from clusters before it, so there is never a cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from codegen.again import is_cheaper_again, operands_of
from codegen.blocks import blocks_of
from codegen.cluster import Cluster, Places, moved, rows_of
from codegen.index import Axis
from codegen.own_row import meets_later, reads_own_row
from codegen.patterns import (
    adds_tiles,
    crop_of,
    fills_rim,
    is_called,
    is_halo,
    joins_tiles,
    library_of,
    light_first,
    overlaps,
    reads_whole,
    strides_of,
)
from ir.graph import Graph, Node

VIEWS = frozenset({"reshape", "transpose", "broadcast", "window", "slice", "pad", "flip"})
SUMS = frozenset({"put_add", "put_along", "cumsum", "rank"})  # indexing ops that add up elements
PUTS = frozenset({"put_add", "put_along"})  # they add to their result, which nobody may change
CHEAP = 2.0  # recomputing this many multiplications costs less than a store and a load
TOGETHER = 32  # light nodes of one kernel: beyond that, equal kernels are one piece of code
SMALL_WINDOW = 16  # a pooling window up to this size is unrolled inside its producer


class Fusion:
    """Assigns every node of a graph to a cluster or leaves it free to be inlined.

    ``rows``: whether the emitter can store, inside a kernel of reductions, what they go over.
    ``groups``: numbers of nodes; those of different numbers share no cluster.
    """

    def __init__(
        self, graph: Graph, rows: bool = False, groups: Mapping[Node, int] | None = None
    ) -> None:
        self.graph, self.rows, self.groups = graph, rows, groups or {}
        self.users = graph.users()
        self.outputs = set(graph.outputs)
        self.place = {node: at for at, node in enumerate(graph.nodes)}
        self.clusters: list[Cluster] = []
        self.home: dict[Node, int] = {}
        self.member: dict[Node, int] = {}
        self.again: set[Node] = set()  # computed by every reader, though it could be an epilogue
        self._cost: dict[Node, tuple[float, int]] = {}
        for node in light_first(graph):
            self._place(node)

    def stored(self, cluster: Cluster) -> list[Node]:
        """The members that someone outside reads."""
        return [node for node in cluster.members if self._escapes(node, cluster.number)]

    def _escapes(self, node: Node, number: int) -> bool:
        """Whether another kernel reads ``node``, itself or through nodes computed in passing."""
        if node in self.outputs:
            return True
        stack, seen = list(self.users[node]), set[Node]()
        while stack:
            user = stack.pop()
            if user in seen:
                continue
            seen.add(user)
            home = self.member.get(user)
            if home is None:
                stack += self.users[user]
            elif home != number:
                return True
        return False

    def _place(self, node: Node) -> None:
        self.home[node] = max((self.home[source] for source in node.inputs), default=-1)
        if node.op.name == "input":
            return
        if node.op.family == "loop" or is_called(node):
            self._place_alone(node)
        elif self._is_core(node):
            if not (self._join_sibling(node) or self._join_pool(node) or self._join_row(node)):
                self._start_core(node)
        elif self._is_cropped(node) or fills_rim(node, self.users, self.outputs):
            pass  # computed where its crop is, or by the kernel that stores the rim
        elif is_cheaper_again(self, node):
            self.again.add(node)
        elif not self._attach(node) and self._must_store(node) and not self._join_row(node):
            self._join_light(node)

    def _is_cropped(self, node: Node) -> bool:
        found = node.op.name == "fold" and overlaps(node)
        return found and crop_of(node, self.users, self.outputs) is not None

    def _place_alone(self, node: Node) -> None:
        """A scan belongs with the values that it hands out, a call-out with nothing."""
        if node.op.name == "item":
            self._add(self.clusters[self.home[node]], node, ())
            return
        self.home[node] = len(self.clusters)
        reason = "a loop" if node.op.name == "scan" else f"calls {library_of(node)}"
        cluster = Cluster(len(self.clusters), (), (), reason=reason, alone=node)
        self.clusters.append(cluster)
        if node.op.name == "scan":
            cluster.inner[node] = None
        else:
            self._add(cluster, node, ())

    # -- starting and joining ---------------------------------------------------------------

    def _start(
        self, node: Node, reason: str, strides: Mapping[int, int] = MappingProxyType({})
    ) -> Cluster:
        """A cluster over the points of ``node``; along a dimension in ``strides`` its axis counts
        every so many, and each kernel point computes all of those."""
        axes = tuple(
            Axis(f"i{at}", size // strides[at] if at in strides else size)
            for at, size in enumerate(node.shape)
        )
        group = self.groups.get(node, 0)
        cluster = Cluster(len(self.clusters), axes, node.shape, reason=reason, group=group)
        cluster.phases = {axes[at]: stride for at, stride in strides.items()}
        self.clusters.append(cluster)
        kept = [a if a.extent != 1 or a in cluster.phases else None for a in axes]
        self._add(cluster, node, tuple(kept))
        return cluster

    def _start_core(self, node: Node) -> None:
        fold = node.inputs[0] if node.op.name == "slice" else node
        cluster = self._start(node, f"core {fold.op.name}", strides_of(node, fold))
        cluster.core.append(node)
        if fold is not node:
            cluster.inner[fold] = None
        if self.rows and node.op.family == "reduction":
            cluster.rows = rows_of(node)

    def _add(self, cluster: Cluster, node: Node, places: Places) -> None:
        cluster.members[node] = places
        self.member[node] = self.home[node] = cluster.number

    def _same_group(self, cluster: Cluster, node: Node) -> bool:
        return cluster.group == self.groups.get(node, 0)

    def _is_core(self, node: Node) -> bool:
        if node.op.name == "dot":
            return not self._feeds_fold(node)
        if node.op.name == "fold":
            return joins_tiles(node) or (overlaps(node) and not self._is_cropped(node))
        if node.op.name == "slice":
            return self._is_cropped(node.inputs[0])
        return node.op.family == "reduction" or node.op.name in SUMS

    def _feeds_fold(self, node: Node) -> bool:
        """A data gradient: the fold that reads this dot computes both as one contraction."""
        while len(self.users[node]) == 1 and node not in self.outputs:
            (node,) = self.users[node]
            if node.op.name == "fold":
                return overlaps(node)
            if node.op.name != "transpose":
                return False
        return False

    def _join_sibling(self, node: Node) -> bool:
        """Reductions of one value over the same axes share a pass (max and its position)."""
        if node.op.family != "reduction":
            return False
        for cluster in self.clusters:
            for core in cluster.core if self._same_group(cluster, node) else ():
                same = core.inputs == node.inputs and core.op.family == "reduction"
                if same and core.attrs["axes"] == node.attrs["axes"] and core in cluster.members:
                    self._add(cluster, node, cluster.members[core])
                    cluster.core.append(node)
                    return True
        return False

    def _join_pool(self, node: Node) -> bool:
        """A small window without overlap over a contraction's result is reduced in its kernel."""
        window = node.inputs[0]
        if node.op.family != "reduction" or window.op.name != "window" or overlaps(window):
            return False
        base = window.inputs[0]
        number = self.member.get(base)
        if number is None or self.home[window] != number:
            return False
        cluster = self.clusters[number]
        size = 1
        for k in window.attrs["size"]:
            size *= k
        last = range(base.type.rank, window.type.rank)
        if (
            size > SMALL_WINDOW
            or tuple(node.attrs["axes"]) != tuple(last)
            or all(core.op.name not in ("dot", "fold") for core in cluster.core)
            or any(joins_tiles(core) for core in cluster.core)
            or not self._same_group(cluster, node)
            or not self._only_pooled(cluster, window)
        ):
            return False
        cluster.inner.update(dict.fromkeys(cluster.members))
        for old in cluster.members:
            del self.member[old]
        cluster.members = {}
        cluster.axes = tuple(Axis(f"i{at}", size) for at, size in enumerate(node.shape))
        cluster.shape, cluster.phases = node.shape, {}
        cluster.core = [node]
        self._add(cluster, node, tuple(a if a.extent != 1 else None for a in cluster.axes))
        return True

    def _join_row(self, node: Node) -> bool:
        """Join reductions over the same rows, where what is read of them is of one's own row.

        A reduction goes over the row once more, if need be beside one that it does not depend on;
        an element of the row is stored on the way.
        """
        number, reduces = self.home[node], node.op.family == "reduction"
        if number >= 0 and self._fits_rows(self.clusters[number], node, reduces):
            return True
        return reduces and any(
            (self._shares(cluster, node) or meets_later(self, cluster, node))
            and self._fits_rows(cluster, node, reduces)
            for cluster in self.clusters[number + 1 :]
            if cluster.rows is not None and cluster.rows.shape == node.inputs[0].shape
        )

    def _shares(self, cluster: Cluster, node: Node) -> bool:
        """Whether a reduction of the cluster goes over something that ``node`` goes over too."""
        mine = operands_of(self, node.inputs[0])
        return any(mine & operands_of(self, core.inputs[0]) for core in cluster.core)

    def _fits_rows(self, cluster: Cluster, node: Node, reduces: bool) -> bool:
        """Add ``node`` to the cluster if its rows are those, and tell."""
        rows = cluster.rows
        if rows is None or not self._same_group(cluster, node):
            return False
        whole = node.inputs[0] if reduces else node
        if whole.shape != rows.shape or node.op.name.startswith("arg"):
            return False
        if reduces and tuple(node.attrs["axes"]) != rows.axes:
            return False
        if not reduces and node.op.family != "elementwise":
            return False
        places = cluster.members[cluster.core[0]] if reduces else rows.places(cluster)
        if not reads_own_row(self, cluster, node, places):
            return False
        self._add(cluster, node, places)
        if reduces:
            cluster.core.append(node)
        return True

    def _only_pooled(self, cluster: Cluster, window: Node) -> bool:
        """Whether nobody but this window's reductions reads the cluster's values."""
        for node in cluster.members:
            if node in self.outputs:
                return False
            for user in self.users[node]:
                if user not in cluster.members and user is not window:
                    return False
        return window not in self.outputs and all(
            user.op.family == "reduction" for user in self.users[window]
        )

    def _attach(self, node: Node) -> bool:
        """Join the latest producer's cluster where the points are the same."""
        number = self.home[node]
        if number < 0:
            return False
        cluster = self.clusters[number]
        if cluster.alone is not None or any(core.op.name in PUTS for core in cluster.core):
            return False
        if not self._same_group(cluster, node):
            return False
        sources = self._sources(node)
        inside = [s for s in sources if s in cluster.members]
        late = [s for s in sources if s not in cluster.members and self.home[s] == number]
        if not inside or late or any(source in cluster.blocks for source in inside):
            return False
        places = cluster.members[inside[0]]
        if node.op.family == "elementwise":
            if any(cluster.members[s] != places for s in inside):
                return False
        else:
            after = self._moved(node, places)
            if after is None:
                return False
            places = after
        self._add(cluster, node, places)
        return True

    def _sources(self, node: Node) -> list[Node]:
        """The inputs, those of what is computed again in its place."""
        found: list[Node] = []
        for source in node.inputs:
            found += self._sources(source) if source in self.again else [source]
        return found

    def _moved(self, node: Node, places: Places) -> Places | None:
        """The places of a view read by nobody else; None where it does not keep to its points."""
        source = node.inputs[0]
        alone = len(self.users[source]) == 1 and source not in self.outputs
        return moved(node, places) if alone else None

    def _join_light(self, node: Node) -> None:
        """Store a light node: in a cluster over the same shape that may still grow, or its own."""
        number = self.home[node]
        found = blocks_of(self.clusters[number], node) if number >= 0 else None
        if found is not None and self._same_group(self.clusters[number], node):
            self._store_light(self.clusters[number], node)
            self.clusters[number].blocks[node] = found
            return
        tiles = node.op.name == "mix"  # large, and read by one contraction: made when it is time
        for cluster in () if tiles else reversed(self.clusters[max(number, 0) :]):
            grown = cluster.core or cluster.alone is not None
            if (
                grown
                or len(cluster.members) >= TOGETHER
                or cluster.shape != node.shape
                or cluster.number == number
            ):
                continue
            tiles = any(member.op.name == "mix" for member in cluster.members)
            if tiles or not self._same_group(cluster, node):
                continue
            self._store_light(cluster, node)
            return
        self._start(node, "stored once for several readers")

    def _store_light(self, cluster: Cluster, node: Node) -> None:
        self._add(cluster, node, tuple(a if a.extent != 1 else None for a in cluster.axes))

    # -- the cost model ---------------------------------------------------------------------

    def _must_store(self, node: Node) -> bool:
        """Whether computing the free ``node`` once and storing it beats inlining it."""
        whole = any(reads_whole(user, node) for user in self.users[node])
        if whole or node in self.outputs or is_halo(node, self.users):
            return True
        if adds_tiles(node, self.users):
            return True
        never = ("constant", "iota", "size", "concatenate", *VIEWS)
        if node.op.name in never or node.type.rank == 0:
            return False
        cost, loads = self.price(node)
        readers = self.readers(node)
        if any(reader.op.name == "dot" for reader, _ in readers):
            return True
        if any(expands and cost > CHEAP for _, expands in readers):
            return True
        return len(readers) > 1 and not (cost <= CHEAP and loads <= 1)

    def price(self, node: Node) -> tuple[float, int]:
        """Multiplications and loads to compute one element of a free node."""
        found = self._cost.get(node)
        if found is None:
            if node in self.member or node.op.name == "input":
                found = (0.0, 1)
            elif node.op.name in ("constant", "iota", "size"):
                found = (0.0, 0)
            else:
                parts = [self.price(source) for source in node.inputs]
                cost = sum(part[0] for part in parts) + node.op.cost
                repeats = node.op.name == "broadcast"  # what it loads stays in registers
                found = (cost, 0 if repeats else sum(part[1] for part in parts))
            if node not in self.member:
                self._cost[node] = found
        return found

    def readers(self, node: Node) -> list[tuple[Node, bool]]:
        """Who reads ``node``'s elements, looking through views; and whether repeatedly."""
        found: dict[Node, bool] = {}
        stack = [(user, False) for user in self.users[node]]
        while stack:
            user, expands = stack.pop()
            if user.op.name in VIEWS:
                wider = expands or user.op.name in ("broadcast", "window")
                stack.extend((u, wider) for u in self.users[user])
                if user in self.outputs:
                    found[user] = wider
            else:
                found[user] = found.get(user, False) or expands
        return list(found.items())


def fuse(graph: Graph, rows: bool = False, groups: Mapping[Node, int] | None = None) -> Fusion:
    """Plan the clusters of ``graph``; ``rows`` and ``groups`` as for ``Fusion``."""
    return Fusion(graph, rows, groups)
