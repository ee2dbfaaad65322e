"""Clusters and what each must wait for in, pieces of them that are launched side by side out.

The kernels of a chain (strips.py) take turns. And a kernel that makes more than it lets go of, for
one reader, stands right before that reader: the tiles of a weight's gradient are no reason to run
the product, nor to put it off, but part of what the product takes while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.cluster import Cluster
from codegen.order import TRIFLE, turns_of
from ir.graph import Node


@dataclass(frozen=True)
class Piece:
    """Clusters in launch order, the values that they find, and those that they leave."""

    clusters: tuple[Cluster, ...]
    reads: frozenset[Node]
    made: tuple[Node, ...]
    most: int  # bytes that it takes on the way, beyond those of what it finds

    @property
    def number(self) -> int:
        """That of the cluster which the others are for."""
        return self.clusters[-1].number


Weight = Mapping[Node, int]


def pieces_of(
    clusters: Sequence[Cluster],
    before: Mapping[int, set[int]],
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    weight: Weight,
    chains: Sequence[Sequence[Cluster]],
) -> list[Piece]:
    """The clusters in pieces, the ``chains`` whole; ``weight`` is what a value takes, in bytes."""
    readers: dict[Node, list[int]] = {}
    for number, nodes in reads.items():
        for node in nodes:
            readers.setdefault(node, []).append(number)
    place, after = turns_of(before)
    home = {c.number: c.number for c in clusters}
    lists = {c.number: [c] for c in clusters}
    for *earlier, last in chains:
        lists[last.number] = [*earlier, last]
        for cluster in earlier:
            home[cluster.number] = last.number
            del lists[cluster.number]
    for cluster in sorted(clusters, key=lambda c: -place[c.number]):
        own = home[cluster.number]
        if own != cluster.number or not _grows(cluster, reads, made, weight, readers):
            continue
        found = {home[n] for node in made[own] for n in readers.get(node, ())}
        follow = {home[n] for c in lists[own] for n in after[c.number]} - {own}
        if len(found) != 1 or min(follow, key=place.__getitem__) not in found:
            continue  # what follows in between would have to come before and after
        (target,) = found
        if lists[target][-1].group == cluster.group:
            lists[target] = [*lists[own], *lists[target]]
            home.update((c.number, target) for c in lists.pop(own))
    return [_piece(found, reads, made, weight, readers) for found in lists.values()]


def _grows(
    cluster: Cluster,
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    weight: Weight,
    readers: Mapping[Node, Sequence[int]],
) -> bool:
    """Whether a cluster makes more than can be let go of after it."""
    freed = sum(weight[node] for node in reads[cluster.number] if len(readers[node]) == 1)
    return sum(weight[node] for node in made[cluster.number]) > freed + TRIFLE


def _piece(
    clusters: Sequence[Cluster],
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    weight: Weight,
    readers: Mapping[Node, Sequence[int]],
) -> Piece:
    left = {node: len(readers.get(node, ())) for c in clusters for node in made[c.number]}
    alive = most = 0
    for cluster in clusters:
        alive += sum(weight[node] for node in made[cluster.number])
        most = max(most, alive)
        for node in reads[cluster.number] & left.keys():
            left[node] -= 1
            alive -= 0 if left[node] else weight[node]
    found = frozenset(n for c in clusters for n in reads[c.number]) - left.keys()
    stays = tuple(node for node, count in left.items() if count or node not in readers)
    return Piece(tuple(clusters), found, stays, most)
