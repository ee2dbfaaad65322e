"""Clusters in, what each reads and must wait for out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from codegen.cluster import Cluster
from codegen.nest import LANES
from ir.graph import Node

TRIFLE = 16 << 10  # bytes that count as none, such as a step's scalars, which many updates wait for


def reads_of(cluster: Cluster, member: Mapping[Node, int]) -> set[Node]:
    """Graph inputs and stored nodes that the cluster's kernel reads."""
    found: set[Node] = set()
    seen: set[Node] = set()
    stack = [source for node in cluster.inlined for source in node.inputs]
    while stack:
        node = stack.pop()
        if node in seen or node in cluster.inlined:
            continue
        seen.add(node)
        if node.op.name == "input" or node in member:
            found.add(node)
        else:
            stack.extend(node.inputs)
    return found


def predecessors(
    clusters: Sequence[Cluster],
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    member: Mapping[Node, int],
    targets: Mapping[Node, Node],
) -> dict[int, set[int]]:
    """For each cluster those that come before it: producers, and who reads what it overwrites.

    What is small may be read later all the same: the new value then waits beside the old one.
    """
    before: dict[int, set[int]] = {
        c.number: {member[n] for n in reads[c.number] if n in member} - {c.number} for c in clusters
    }
    readers: dict[Node, list[int]] = {}
    for c in clusters:
        for node in reads[c.number]:
            readers.setdefault(node, []).append(c.number)
    for c in clusters:
        for node in made[c.number]:
            if node not in targets:
                continue
            small = weight_of(targets[node]) <= TRIFLE
            for other in readers.get(targets[node], ()):
                late = small and other > c.number
                if other != c.number and not late and not _reaches(before, c.number, other):
                    before[c.number].add(other)
    return before


def _reaches(before: Mapping[int, set[int]], first: int, last: int) -> bool:
    """Whether ``last`` must wait for ``first``."""
    seen: set[int] = set()
    stack = [last]
    while stack:
        number = stack.pop()
        if number == first:
            return True
        if number not in seen:
            seen.add(number)
            stack.extend(before[number])
    return False


def turns_of(before: Mapping[int, set[int]]) -> tuple[dict[int, int], dict[int, list[int]]]:
    """The place of each cluster where the first that may run does, and who waits for it."""
    after: dict[int, list[int]] = {number: [] for number in before}
    waiting = {number: len(needs) for number, needs in before.items()}
    for number, needs in before.items():
        for need in needs:
            after[need].append(number)
    ready = [number for number, count in waiting.items() if not count]
    heapify(ready)
    place: dict[int, int] = {}
    while ready:
        number = heappop(ready)
        place[number] = len(place)
        for follower in after[number]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready, follower)
    assert len(place) == len(before), "the clusters depend on each other in a circle"
    return place, after


def weight_of(node: Node, strips: Sequence[tuple[int, int]] = ()) -> int:
    """The bytes of a value, an open size counted as some batch.

    Of one that is computed in ``strips`` (dimension, points) only those of a strip are kept.
    """
    total, held = node.dtype.itemsize, dict(strips)
    for axis, size in enumerate(node.shape):
        total *= held.get(axis, size if isinstance(size, int) else 2 * LANES)
    return int(total)
