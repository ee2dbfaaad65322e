"""Clusters in, the order of their launches out, and which of them take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.attention import attentions
from codegen.cluster import Cluster
from codegen.fuse import Fusion
from codegen.heads import Heads, heads, side_by_side
from codegen.lowest import launch_order
from codegen.order import TRIFLE, predecessors, reads_of, weight_of
from codegen.pieces import pieces_of
from codegen.strips import Chain, chains
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
    strips = chains(fusion, tags, before)
    held = {node: steps for chain in strips for node, steps in chain.held.items()}
    weight = {node: weight_of(node, held.get(node, ())) for node in fusion.member}
    weight.update(dict.fromkeys({*graph.inputs, *graph.outputs}, 0))
    groups: list[Chain | Heads] = [*strips]

    def ordered() -> list[Cluster]:
        whole = [group.clusters for group in groups]
        pieces = pieces_of(clusters, before, reads, made, weight, whole)
        return launch_order(pieces, before, weight, frugal=bool(fusion.groups))

    order = ordered()
    scores = attentions(graph) if by_heads else {}
    found = heads(fusion, order, before, reads, made, targets, scores) if scores else []
    if found and side_by_side(order, [g.clusters for g in (*groups, *found)], before) is not None:
        groups += found
        weight.update((node, min(weight[node], TRIFLE)) for one in found for node in one.own)
        order = ordered()
    last: dict[Node, int] = {}
    for place, cluster in enumerate(order):
        last.update(dict.fromkeys(reads[cluster.number], place))
    return Launches(order, groups, last)
