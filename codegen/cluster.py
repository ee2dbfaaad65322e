"""The nodes of one kernel while it is being planned, and the rows that its reductions go over."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from codegen.index import Axis
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
