"""Clusters and what each must wait for in, an order of launches out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from codegen.cluster import Cluster
from codegen.nest import LANES
from ir.graph import Node

SMALL = 8 << 20  # bytes of all intermediates together
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
    """For each cluster those that come before it: producers, and who reads what it overwrites."""
    before: dict[int, set[int]] = {
        c.number: {member[n] for n in reads[c.number] if n in member} - {c.number} for c in clusters
    }
    readers: dict[Node, list[int]] = {}
    for c in clusters:
        for node in reads[c.number]:
            readers.setdefault(node, []).append(c.number)
    for c in clusters:
        for node in made[c.number]:
            for other in readers.get(targets[node], ()) if node in targets else ():
                if other != c.number and not _reaches(before, c.number, other):
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


def launch_order(
    clusters: Sequence[Cluster],
    before: Mapping[int, set[int]],
    reads: Mapping[int, set[Node]],
    made: Mapping[int, Sequence[Node]],
    weight: Callable[[Node], int],
    frugal: bool = False,
) -> list[Cluster]:
    """Of those that may run, one that takes no more memory than it lets go of; else the first.

    So a weight's gradient and update run as soon as they can, and the activations that they read
    are let go of layer by layer. Where all of them fit in a cache anyway the first runs, and the
    weights come last: their sums over the batch make threads wait, which is then a larger share
    (not if ``frugal``). ``weight`` is what a stored value takes, in bytes.
    """
    total = sum(weight(node) for nodes in made.values() for node in nodes)
    small = total < SMALL and not frugal
    by_number = {c.number: c for c in clusters}
    after: dict[int, list[int]] = {number: [] for number in by_number}
    for number, needs in before.items():
        for need in needs:
            after[need].append(number)
    waiting = {number: len(needs) for number, needs in before.items()}
    readers: dict[Node, int] = {}
    for nodes in reads.values():
        for node in nodes:
            readers[node] = readers.get(node, 0) + 1
    ready = [number for number, count in waiting.items() if not count]
    heapify(ready)

    def taken(number: int) -> int:
        freed = sum(weight(node) for node in reads[number] if readers[node] == 1)
        return sum(weight(node) for node in made[number]) - freed

    order: list[Cluster] = []
    while ready:
        willing = [(taken(number), number) for number in ready if by_number[number].group >= 0]
        least, number = min(willing, default=(TRIFLE + 1, -1))
        if small or least > TRIFLE:
            number = heappop(ready)
        else:
            ready.remove(number)
            heapify(ready)
        order.append(by_number[number])
        for node in reads[number]:
            readers[node] -= 1
        for follower in after[number]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready, follower)
    assert len(order) == len(clusters), "the clusters depend on each other in a circle"
    return order


def weight_of(node: Node) -> int:
    """The bytes of a value, an open size counted as some batch."""
    total = node.dtype.itemsize
    for size in node.shape:
        total *= size if isinstance(size, int) else 2 * LANES
    return int(total)
