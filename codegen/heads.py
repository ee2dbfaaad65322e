"""Clusters in launch order in, groups that take turns over the heads of an attention out.

Attention's kernels hand on arrays with a number for every pair of a query and a key, which no near
cache holds for all heads. They share a leading set of points, though: a head of a sequence, and for
most of them a block of its queries. So each thread computes one such strip through all kernels of a
group before it begins the next one, and what lies between them has room for a strip of each thread
only (cut.py). Here the clusters are found and brought together; it takes a reader of such an array
into the group of its maker where nothing outside the group would have to run in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from codegen.cluster import Cluster
from codegen.fuse import Fusion
from ir.dims import Size
from ir.graph import Node


@dataclass(frozen=True)
class Heads:
    """Clusters that take turns, the arrays they hand on, and which of those nobody else reads."""

    clusters: tuple[Cluster, ...]
    between: frozenset[Node]
    own: frozenset[Node]


def heads(
    fusion: Fusion,
    order: Sequence[Cluster],
    before: Mapping[int, set[int]],
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    targets: Mapping[Node, Node],
    scores: Collection[Node],
) -> list[Heads]:
    """The groups in ``order`` (``before``: for each cluster those it waits for) that hand on
    ``scores``. ``targets`` are what nodes overwrite: who overwrites
    anything joins no group."""
    place = {cluster.number: at for at, cluster in enumerate(order)}
    by_number = {cluster.number: cluster for cluster in order}
    group = {number: frozenset({number}) for number in place}
    between: set[Node] = set()
    for node, maker, takers in _handed_on(order, reads, made, targets, scores):
        for reader in takers:
            merged = group[maker] | group[reader]
            if _is_closed(merged, before, place):
                group.update(dict.fromkeys(merged, merged))
                between.add(node)
    readers: dict[Node, set[int]] = {}
    for number, nodes in reads.items():
        for node in nodes:
            readers.setdefault(node, set()).add(number)
    found = []
    for numbers in dict.fromkeys(group.values()):
        clusters = [by_number[n] for n in sorted(numbers, key=place.__getitem__)]
        if sum(c.core[0].op.name == "dot" for c in clusters if c.core) < 2:
            continue
        inside = frozenset(node for node in between if fusion.member[node] in numbers)
        own = {node for node in inside - fusion.outputs if readers[node] <= numbers}
        found.append(Heads(tuple(clusters), inside, frozenset(own)))
    return found


def _handed_on(
    order: Sequence[Cluster],
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    targets: Mapping[Node, Node],
    scores: Collection[Node],
) -> Iterator[tuple[Node, int, list[int]]]:
    """Arrays of scores with the numbers of the clusters that make them and that read them."""
    fits = [c for c in order if not any(node in targets for node in c.members)]
    readers: dict[Node, list[int]] = {}
    for cluster in fits:
        for node in reads[cluster.number]:
            if node in scores and _goes_over(cluster, node.shape):
                readers.setdefault(node, []).append(cluster.number)
    for cluster in fits:
        for node in made[cluster.number]:
            if node in readers and _goes_over(cluster, node.shape):
                yield node, cluster.number, readers[node]


def _goes_over(cluster: Cluster, shape: Sequence[Size]) -> bool:
    """Whether the kernel may keep to a head of arrays of scores of this shape."""
    if cluster.alone is not None or cluster.phases or cluster.blocks:
        return False
    if cluster.rows is not None:
        return cluster.rows.shape == shape and cluster.rows.axes == (len(shape) - 1,)
    if not cluster.core:
        return cluster.shape == shape
    (core, *more) = cluster.core
    lead = len(shape) - 2
    if core.op.name != "dot" or more or len(core.attrs["batch"][0]) != lead:
        return False
    return core.type.rank == len(shape) and core.shape[:lead] == shape[:lead]


def _is_closed(
    numbers: frozenset[int], before: Mapping[int, set[int]], place: Mapping[int, int]
) -> bool:
    """Whether nothing outside the group waits for it and is waited for by it."""
    first = min(place[number] for number in numbers)
    stack = [n for number in numbers for n in before[number] if n not in numbers]
    seen: set[int] = set()
    while stack:
        number = stack.pop()
        if number in seen or place[number] < first:
            continue
        seen.add(number)
        if any(n in numbers for n in before[number]):
            return False
        stack += before[number]
    return True


def side_by_side(
    order: Sequence[Cluster],
    groups: Sequence[tuple[Cluster, ...]],
    before: Mapping[int, set[int]],
) -> list[Cluster] | None:
    """The launch order with the clusters of each group together, about where the last one stood;
    None where two groups wait for each other."""
    grouped = {cluster.number for group in groups for cluster in group}
    units = [*groups, *((cluster,) for cluster in order if cluster.number not in grouped)]
    home = {cluster.number: at for at, unit in enumerate(units) for cluster in unit}
    place = {cluster.number: at for at, cluster in enumerate(order)}
    rank = [max(place[c.number] for c in unit) for unit in units]
    waits = [
        {home[n] for c in unit for n in before[c.number]} - {at} for at, unit in enumerate(units)
    ]
    after: list[list[int]] = [[] for _ in units]
    for at, needs in enumerate(waits):
        for need in needs:
            after[need].append(at)
    open_ = [len(needs) for needs in waits]
    ready = [(rank[at], at) for at, count in enumerate(open_) if not count]
    heapify(ready)
    done: list[Cluster] = []
    while ready:
        _, at = heappop(ready)
        done += units[at]
        for follower in after[at]:
            open_[follower] -= 1
            if not open_[follower]:
                heappush(ready, (rank[follower], follower))
    return done if len(done) == len(order) else None
