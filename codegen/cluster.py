"""The nodes of one kernel while it is being planned, and the rows that its reductions go over."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product as combinations
from math import prod

from codegen.index import ZERO, Axis, Index, add, of_axis, scale
from codegen.patterns import joins_tiles
from ir.dims import Size
from ir.graph import Node

FEWEST_ROWS = 8  # that a kernel over rows should have
Places = tuple[Axis | None, ...]  # for each dimension of a node the cluster axis it lies on


@dataclass
class Cluster:
    """The nodes of one kernel while it is being planned."""

    number: int
    axes: tuple[Axis, ...]
    shape: tuple[Size, ...]
    core: list[Node] = field(default_factory=list)
    members: dict[Node, Places] = field(default_factory=dict)
    inner: dict[Node, None] = field(default_factory=dict)  # computed inside, no longer attachable
    reason: str = ""
    alone: Node | None = None  # a scan or a call-out: nothing joins it
    phases: dict[Axis, int] = field(default_factory=dict)  # an axis counts every so many elements
    blocks: dict[Node, tuple[int, int]] = field(default_factory=dict)  # put together along an axis
    group: int = 0  # of its nodes: clusters of one group do not take in another one's
    rows: Rows | None = None  # what lies along each point, where reductions make the point

    @property
    def inlined(self) -> frozenset[Node]:
        return frozenset(self.members) | self.inner.keys()


@dataclass(frozen=True)
class Rows:
    """The arrays of ``shape`` that a cluster's reductions go over, along ``axes``."""

    shape: tuple[Size, ...]
    axes: tuple[int, ...]
    within: tuple[Axis, ...]  # the loops along a row

    def places(self, cluster: Cluster) -> Places:
        """Where an element of such an array lies: its row, and its place within."""
        outer, inner = iter(cluster.members[cluster.core[0]]), iter(self.within)
        found = [next(inner if at in self.axes else outer) for at in range(len(self.shape))]
        return tuple(None if a is None or a.extent == 1 else a for a in found)


def rows_of(node: Node) -> Rows | None:
    """The rows of a reduction; None where there are too few of them to share among threads."""
    source, axes = node.inputs[0], tuple(node.attrs["axes"])
    rows = prod(size for size in node.shape if isinstance(size, int))
    static = all(isinstance(size, int) for size in node.shape)
    if node.op.name.startswith("arg") or (static and rows < FEWEST_ROWS) or 0 in source.shape:
        return None
    if any(source.shape[at] == 1 for at in axes):
        return None
    within = tuple(Axis(f"w{at}", source.shape[at]) for at in axes)
    return Rows(source.shape, axes, within)


def moved(node: Node, places: Places) -> Places | None:
    """The places of a transpose, or of a reshape by unit dimensions, of what has ``places``."""
    if node.op.name == "transpose":
        return tuple(places[axis] for axis in node.attrs["perm"])
    source = node.inputs[0]
    if node.op.name != "reshape":
        return None
    if [s for s in source.shape if s != 1] != [s for s in node.shape if s != 1]:
        return None
    real = iter([p for p, s in zip(places, source.shape, strict=True) if s != 1])
    return tuple(None if size == 1 else next(real) for size in node.shape)


# -- what a cluster's kernel is --------------------------------------------------------------


def is_contraction(cluster: Cluster) -> bool:
    heavy = [node for node in cluster.inlined if node.op.name in ("dot", "fold")]
    return any(not joins_tiles(node) for node in heavy)


def is_along(cluster: Cluster, node: Node) -> bool:
    """Whether ``node`` has an element for every place along a row, not one for the row."""
    assert cluster.rows is not None
    return any(place in cluster.rows.within for place in cluster.members[node])


def points_of(cluster: Cluster, node: Node) -> list[tuple[Index, ...]]:
    """Where the elements of ``node`` lie that one point of the kernel computes."""
    if node in cluster.blocks:
        return _block_points(cluster, node)
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


def _block_points(cluster: Cluster, node: Node) -> list[tuple[Index, ...]]:
    """Where the elements of every block lie that one point of the kernel computes."""
    at, count = cluster.blocks[node]
    index = [ZERO if place is None else of_axis(place) for place in cluster.members[node]]
    starts = [add(index[at], block * cluster.shape[at]) for block in range(count)]
    return [(*index[:at], start, *index[at + 1 :]) for start in starts]


def title_of(cluster: Cluster) -> str:
    """The names of the first few ops that the kernel computes."""
    nodes = (*cluster.inner, *cluster.members)
    names = [n.op.name for n in nodes if n.op.family != "movement" or n.op.name == "fold"]
    kept = list(dict.fromkeys(names))
    return "_".join(kept[:4]) or "copy"


def comment_of(cluster: Cluster) -> str:
    """Why the kernel exists, and all that is fused in it."""
    names = [n.op.name for n in sorted(cluster.inlined, key=lambda n: n.op.name)]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    fused = ", ".join(name if k == 1 else f"{name} x{k}" for name, k in counts.items())
    return f"{cluster.reason}; fused: {fused}"
