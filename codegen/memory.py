"""Buffers with their lifetimes in, one arena with an offset for each out.

A step's intermediates live for a few launches each, so most of them can share bytes. Placing the
largest first, each into the tightest gap left by those alive at the same time, comes within a
few per cent of the bound on real steps; three orders are tried and the smallest arena kept.
``check`` proves a plan by other means than those that made it.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise


class MemoryPlanError(AssertionError):
    """A plan would let one buffer overwrite another: a bug of ours, with both named."""


@dataclass(frozen=True)
class Interval:
    """A buffer of ``size`` bytes, alive from phase ``first`` to ``last``, both included."""

    name: str
    size: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.size < 0 or self.last < self.first:
            raise MemoryPlanError(f"no such buffer: {self}")


@dataclass(frozen=True)
class Plan:
    """Where each buffer starts in an arena of ``total`` bytes.

    ``instead``: for each that takes another one's place, that one. The interval of the first of
    such a row goes on to the end of the last.
    """

    offsets: dict[str, int]
    total: int
    intervals: tuple[Interval, ...]
    align: int
    instead: Mapping[str, str] = field(default_factory=dict)
    order: int = 0  # which order placed them


_GOOD_ENOUGH = 1.01  # further orders cost milliseconds of every compile
# The first order is best most often; the others win on long chains of unequal buffers.
_ORDERS: tuple[Callable[[Interval], tuple[int, int, str]], ...] = (
    lambda b: (-b.size, b.first, b.name),
    lambda b: (-b.size * (b.last - b.first + 1), b.first, b.name),
    lambda b: (b.first, -b.size, b.name),
)


def plan(intervals: Iterable[Interval], align: int = 64, order: int | None = None) -> Plan:
    """Offsets, multiples of ``align``, at which buffers alive together do not overlap.

    ``order``: of a plan for other sizes of the same buffers; then no other one is tried.
    """
    buffers = tuple(intervals)
    if len({b.name for b in buffers}) != len(buffers):
        raise MemoryPlanError("two buffers have one name")
    rounded = [Interval(b.name, -(-b.size // align) * align, b.first, b.last) for b in buffers]
    bound = peak(rounded)
    best: dict[str, int] = {}
    total, chosen = -1, 0
    for at in range(len(_ORDERS)) if order is None else (order,):
        offsets = _place(sorted(rounded, key=_ORDERS[at]))
        end = max((offsets[b.name] + b.size for b in rounded), default=0)
        if total < 0 or end < total:
            best, total, chosen = offsets, end, at
        if total <= bound * _GOOD_ENOUGH:
            break
    found = {b.name: best[b.name] for b in buffers}
    return Plan(found, total, buffers, align, order=chosen)


def shared(done: Plan, instead: Mapping[str, str]) -> Plan:
    """The plan with buffers that lie in the place of others (``instead``, in launch order)."""
    offsets = dict(done.offsets)
    for new, old in instead.items():
        offsets[new] = offsets[old]
    return replace(done, offsets=offsets, instead=dict(instead))


def _place(buffers: Sequence[Interval]) -> dict[str, int]:
    """Each buffer in turn into the tightest gap that is free while it lives."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last, by offset
    offsets = {}
    for b in buffers:
        best, room, free = -1, -1, 0
        for offset, end, first, last in placed:
            if b.size and first <= b.last and b.first <= last:
                gap = offset - free
                if gap >= b.size and (best < 0 or gap < room):
                    best, room = free, gap
                free = max(free, end)
        offsets[b.name] = free if best < 0 else best
        if b.size:
            start = offsets[b.name]
            insort(placed, (start, start + b.size, b.first, b.last))
    return offsets


def peak(intervals: Iterable[Interval]) -> int:
    """The most bytes alive in one phase: no arena is smaller."""
    change: dict[int, int] = {}
    for b in intervals:
        change[b.first] = change.get(b.first, 0) + b.size
        change[b.last + 1] = change.get(b.last + 1, 0) - b.size
    alive = most = 0
    for phase in sorted(change):
        alive += change[phase]
        most = max(most, alive)
    return most


def check(done: Plan, intervals: Iterable[Interval]) -> None:
    """Prove that every buffer lies aligned in the arena and none meets another while alive.

    A sweep over phases; within one, buffers alive are sorted by offset, where only neighbours
    can be the first to overlap.
    """
    buffers = list(intervals)
    for b in buffers:
        if b.name not in done.offsets:
            raise MemoryPlanError(f"{b.name} has no place")
        start = done.offsets[b.name]
        if start < 0 or start + b.size > done.total:
            raise MemoryPlanError(f"{b.name} at {start} leaves the arena of {done.total} bytes")
        if start % done.align:
            raise MemoryPlanError(f"{b.name} at {start} is not aligned to {done.align}")
    waiting = sorted((b for b in buffers if b.size), key=lambda b: b.first)
    alive: dict[int, Interval] = {}
    ends: list[tuple[int, int]] = []
    for index, b in enumerate(waiting):
        while ends and ends[0][0] < b.first:
            del alive[heapq.heappop(ends)[1]]
        alive[index] = b
        heapq.heappush(ends, (b.last, index))
        if index + 1 == len(waiting) or waiting[index + 1].first > b.first:
            _check_phase(done, alive.values(), b.first)


def _check_phase(done: Plan, alive: Iterable[Interval], phase: int) -> None:
    """Prove one phase: sorted by offset, each buffer ends before the next begins."""
    row = sorted(alive, key=lambda b: done.offsets[b.name])
    for low, high in pairwise(row):
        if done.offsets[low.name] + low.size > done.offsets[high.name]:
            places = " and ".join(_place_text(done, b) for b in (low, high))
            raise MemoryPlanError(f"phase {phase}: {places} overlap")


def _place_text(done: Plan, b: Interval) -> str:
    start = done.offsets[b.name]
    return f"{b.name} (bytes {start}..{start + b.size}, phases {b.first}..{b.last})"


def report(done: Plan) -> str:
    """The plan as a table, with what no plan can beat."""
    buffers = sorted(done.intervals, key=lambda b: (b.first, done.offsets[b.name], b.name))
    width = max([6, *(len(b.name) for b in buffers)])
    lines = [f"{'buffer':{width}} {'offset':>12} {'bytes':>12}  phases"]
    for b in buffers:
        offset = done.offsets[b.name]
        lines.append(f"{b.name:{width}} {offset:>12,} {b.size:>12,}  {b.first}..{b.last}")
    lines += [f"{new:{width}} in the place of {old}" for new, old in done.instead.items()]
    bound, apart = peak(buffers), sum(b.size for b in buffers)
    over = f" (+{100 * (done.total / bound - 1):.1f} %)" if bound else ""
    lines.append(f"arena {done.total:,} bytes; alive at once {bound:,}{over}; unshared {apart:,}")
    return "\n".join(lines)
