"""Pieces of clusters and what each must wait for in, the order of launches out.

A weight's gradient and update run as soon as they let go of more than they take, so that the
activations that they read are let go of layer by layer; unless what they need meanwhile would
come on top of the most that anything else needs. Where nobody lets go of anything the first in the
graph's order runs. Orders are compared by the most that is alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf

from codegen.cluster import Cluster
from codegen.order import TRIFLE
from codegen.pieces import Piece, Weight
from ir.graph import Node

SMALL = 8 << 20  # bytes of all intermediates together
TRIES = 4  # of lower limits
LOWER = 0.96  # of the most that was alive: the next limit
ASIDE = 8  # pieces beyond the limit that are looked past


def launch_order(
    pieces: Sequence[Piece],
    before: Mapping[int, set[int]],
    weight: Weight,
    frugal: bool = False,
) -> list[Cluster]:
    """The clusters of ``pieces`` in the order that keeps the least alive, of those tried.

    Where all values fit in a cache anyway the first runs, and the weights come last: their sums
    over the batch make threads wait, which is then a larger share (not if ``frugal``: then copies
    stand in the graph's order where they are read). ``weight`` is what a value takes, in bytes.
    """
    plan = _Plan(pieces, before, weight)
    total = sum(weight.values())
    if total < SMALL and not frugal:
        return _clusters(plan, _Run(plan, -inf).order)
    return _clusters(plan, _lowest(plan).order)


def _clusters(plan: _Plan, order: Iterable[int]) -> list[Cluster]:
    return [cluster for at in order for cluster in plan.pieces[at].clusters]


def _lowest(plan: _Plan) -> _Run:
    """The run with the lowest peak: as limits fall, what takes much for a while is put off."""
    best = _Run(plan, inf)
    for _ in range(TRIES):
        found = _Run(plan, LOWER * best.peak)
        if found.peak >= best.peak:
            break
        best = found
    return best


class _Plan:
    """What every run of the pieces needs to know."""

    def __init__(
        self, pieces: Sequence[Piece], before: Mapping[int, set[int]], weight: Weight
    ) -> None:
        self.pieces, self.weight = tuple(pieces), weight
        home = {c.number: at for at, piece in enumerate(pieces) for c in piece.clusters}
        self.followers: list[list[int]] = [[] for _ in pieces]
        self.waiting = [0] * len(pieces)
        for at, piece in enumerate(pieces):
            needs = {home[n] for c in piece.clusters for n in before[c.number]} - {at}
            self.waiting[at] = len(needs)
            for need in needs:
                self.followers[need].append(at)
        self.readers: dict[Node, set[int]] = {}
        for at, piece in enumerate(pieces):
            for node in piece.reads:
                if weight[node]:
                    self.readers.setdefault(node, set()).add(at)
        self.made = [sum(weight[node] for node in piece.made) for piece in pieces]


class _Run:
    """One order of the pieces, and the most bytes alive in it.

    What would bring more than ``limit`` to life is only run in its turn.
    """

    def __init__(self, plan: _Plan, limit: float) -> None:
        self.plan, self.limit = plan, limit
        self.waiting = list(plan.waiting)
        self.readers = {node: set(readers) for node, readers in plan.readers.items()}
        self.freed = [0] * len(plan.pieces)
        self.done = [False] * len(plan.pieces)
        self.ready: list[tuple[int, int]] = []
        self.willing: list[tuple[int, int, int]] = []
        self.order: list[int] = []
        self.alive = self.peak = 0
        for node, readers in self.readers.items():
            self._count(node, readers)
        for at, count in enumerate(self.waiting):
            if not count:
                self._meet(at)
        while len(self.order) < len(plan.pieces):
            self._launch(self._next())

    def _count(self, node: Node, readers: set[int]) -> None:
        """The only one left that reads a value lets go of it."""
        if len(readers) == 1:
            (at,) = readers
            self.freed[at] += self.plan.weight[node]
            if not self.waiting[at]:
                self._offer(at)

    def _meet(self, at: int) -> None:
        """A piece may run now."""
        heappush(self.ready, (self.plan.pieces[at].number, at))
        self._offer(at)

    def _offer(self, at: int) -> None:
        piece, taken = self.plan.pieces[at], self.plan.made[at] - self.freed[at]
        if taken <= TRIFLE and piece.clusters[-1].group >= 0 and self.limit > 0:
            heappush(self.willing, (taken, piece.number, at))

    def _next(self) -> int:
        aside, found = list[tuple[int, int, int]](), -1
        while self.willing and found < 0 and len(aside) < ASIDE:
            one = heappop(self.willing)
            if self.done[one[2]] or one[0] != self.plan.made[one[2]] - self.freed[one[2]]:
                continue
            if self.alive + self.plan.pieces[one[2]].most <= max(self.limit, self.peak):
                found = one[2]
            else:
                aside.append(one)
        for one in aside:
            heappush(self.willing, one)
        while found < 0:
            assert self.ready, "the clusters depend on each other in a circle"
            _, at = heappop(self.ready)
            found = -1 if self.done[at] else at
        return found

    def _launch(self, at: int) -> None:
        piece = self.plan.pieces[at]
        self.done[at] = True
        self.order.append(at)
        self.peak = max(self.peak, self.alive + piece.most)
        self.alive += self.plan.made[at]
        for node in piece.reads:
            readers = self.readers.get(node)
            if readers is not None:
                readers.discard(at)
                self._count(node, readers)
                self.alive -= 0 if readers else self.plan.weight[node]
        for follower in self.plan.followers[at]:
            self.waiting[follower] -= 1
            if not self.waiting[follower]:
                self._meet(follower)
