"""Clusters in, the order of their launches out, and which of them take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.attention import attentions
from codegen.cluster import Cluster
from codegen.fuse import Fusion
from codegen.heads import Heads, heads, side_by_side
from codegen.order import launch_order, predecessors, reads_of, weight_of
from codegen.strips import Chain, chains, together
from ir.graph import Graph, Node


@dataclass(frozen=True)
class Launches:
    """Clusters in launch order, the groups that take turns, and each node's last reader's place."""

    order: Sequence[Cluster]
    groups: Sequence[Chain | Heads]
    last: Mapping[Node, int]


def launches_of(
    graph: Graph,
    fusion: Fusion,
    made: Mapping[int, Sequence[Node]],
    tags: Mapping[Node, int | None],
    targets: Mapping[Node, Node],
    by_heads: bool,
) -> Launches:
    """Producers first; a kernel that overwrites state (``targets``) after those that read it.

    ``tags`` are batch axes; ``by_heads``: attentions may take turns over their heads.
    """
    clusters = fusion.clusters
    reads = {c.number: reads_of(c, fusion.member) for c in clusters}
    before = predecessors(clusters, reads, made, fusion.member, targets)
    given = {*graph.inputs, *graph.outputs}
    order = launch_order(
        clusters,
        before,
        reads,
        made,
        lambda node: 0 if node in given else weight_of(node),
        frugal=bool(fusion.groups),
    )
    groups: list[Chain | Heads] = [*chains(fusion, tags, order, reads, targets)]
    order = together(order, [group for group in groups if isinstance(group, Chain)])
    scores = attentions(graph) if by_heads else {}
    found = heads(fusion, order, before, reads, made, targets, scores) if scores else []
    if found:
        again = side_by_side(order, [g.clusters for g in (*groups, *found)], before)
        order, groups = (order, groups) if again is None else (again, [*groups, *found])
    last: dict[Node, int] = {}
    for place, cluster in enumerate(order):
        last.update(dict.fromkeys(reads[cluster.number], place))
    return Launches(order, groups, last)
