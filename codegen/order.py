"""Clusters and what each must wait for in, an order of launches out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from codegen.cluster import Cluster


def reaches(before: Mapping[int, set[int]], first: int, last: int) -> bool:
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


def topological(clusters: Iterable[Cluster], before: Mapping[int, set[int]]) -> list[Cluster]:
    """Lowest number first among those whose predecessors are done."""
    waiting = {c.number: c for c in clusters}
    done: set[int] = set()
    order: list[Cluster] = []
    while waiting:
        ready = [n for n in waiting if before[n] <= done]
        assert ready, "the clusters depend on each other in a circle"
        number = min(ready)
        done.add(number)
        order.append(waiting.pop(number))
    return order
