"""Kernels in launch order and sizes in, who waits for whom and where each intermediate lies out.

What does not depend on sizes (which kernels share which buffers, from when to when each lives) is
found once for each set of barriers: another size then costs arithmetic and, at most, a placement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen import memory
from codegen.barriers import barriers, share_of, together
from codegen.calls import phase_of
from codegen.inplace import Fitting, owners, taken_places
from codegen.kernels import Kernels
from codegen.nest import LANES, Buffer, Nest
from codegen.schedule import Schedule
from codegen.units import units_of
from ir.dims import evaluate

LARGE = 8 << 20  # bytes
LINE = 64  # bytes that threads should not share
WORTH = 0.95  # of an arena: less is not worth more barriers
Waits = tuple[bool, ...]  # for each kernel whether all threads wait before it


@dataclass(frozen=True)
class Lives:
    """From which phase to which each buffer of an arena lives, and who takes whose place."""

    spans: tuple[tuple[Buffer, int, int], ...]
    instead: Mapping[str, str]

    def placed(
        self, env: Mapping[str, int], align: int, threads: int = 1, order: int | None = None
    ) -> memory.Plan:
        """Where each lies for the symbols' values in ``env``."""
        intervals = [
            memory.Interval(buffer.name, size_in_bytes(buffer, env, threads), first, last)
            for buffer, first, last in self.spans
        ]
        done = memory.plan(intervals, align, order)
        memory.check(done, intervals)
        return memory.shared(done, self.instead)


@dataclass(frozen=True)
class Planned:
    """Before which kernels all threads wait, where each intermediate lies, and whether there are
    more barriers than results need."""

    waits: Waits
    plan: memory.Plan
    more: bool


class Arena:
    """The barriers and the arena of one program's kernels, for any sizes."""

    def __init__(self, kernels: Kernels, plans: Sequence[Schedule]) -> None:
        self._kernels, self._nests = kernels, [plan.nest for plan in plans]
        self._units = [units_of(plan) for plan in plans]
        self._shares = [share_of(plan) for plan in plans]
        self._fitting = None if kernels.loops else Fitting(self._nests)
        self._lives: dict[Waits, Lives] = {}
        self._waits: dict[tuple[object, ...], Waits] = {}

    def units(self, env: Mapping[str, int]) -> list[int]:
        """How many units of work each kernel's threads share out."""
        return [units.at(env) for units in self._units]

    def needed(self, counts: Sequence[int], env: Mapping[str, int]) -> Waits:
        """Before which kernels results need all threads to wait; ``counts`` are the units."""
        alone = tuple(count <= 1 for count in counts)
        sizes = [None if s.rows is None else evaluate(s.rows, env) for s in self._shares]
        names: dict[int | None, int | None] = {None: None}
        rows = tuple(names.setdefault(size, len(names)) for size in sizes)
        key = alone, rows
        if key not in self._waits:
            shares = [
                replace(share, alone=one, rows=row)
                for share, one, row in zip(self._shares, alone, rows, strict=True)
            ]
            kernels, counted = self._kernels, dict(self._kernels.groups)
            later = _later(kernels)
            starts = [k for k in range(len(shares)) if k not in later]
            found = barriers([together(shares[k : k + counted.get(k, 1)]) for k in starts])
            self._waits[key] = _around_loops(kernels, dict(zip(starts, found, strict=True)))
        return self._waits[key]

    def plan(
        self,
        env: Mapping[str, int],
        needed: Waits,
        align: int,
        tight: bool,
        threads: int = 1,
        like: Planned | None = None,
    ) -> Planned:
        """The arena for the symbols' values in ``env``, and the barriers that it takes.

        Between two barriers one thread may be kernels ahead of another, so that nothing which is
        alive there shares memory. Large arenas, and those with a budget (``tight``), get more
        barriers than the ``needed`` ones: each costs microseconds, and memory that is used again
        sooner is still in a cache. ``threads``: how many of them have arrays of their own.
        ``like``: planned for other sizes; what was found best there is taken.
        """
        turns = {k for loop in self._kernels.loops for k in range(loop.first, loop.last)}
        turns |= _later(self._kernels)
        every = tuple(flag or (k > 0 and k not in turns) for k, flag in enumerate(needed))
        order = None if like is None else like.plan.order
        if like is not None and (like.more or like.plan.total >= LARGE):
            waits = every if like.more else needed
            return Planned(waits, self._placed(waits, env, align, threads, order), like.more)
        plan = self._placed(needed, env, align, threads, order)
        if plan.total < LARGE and not tight:
            return Planned(needed, plan, False)
        apart = self._placed(every, env, align, threads, order)
        more = apart.total < WORTH * plan.total
        return Planned(every, apart, True) if more else Planned(needed, plan, False)

    def _placed(
        self, waits: Waits, env: Mapping[str, int], align: int, threads: int, order: int | None
    ) -> memory.Plan:
        if waits not in self._lives:
            self._lives[waits] = lives(self._kernels, self._nests, waits, self._fitting)
        return self._lives[waits].placed(env, align, threads, order)


def known_arena(
    kernels: Kernels, plans: Sequence[Schedule], align: int, threads: int
) -> memory.Plan:
    """The smallest arena of kernels whose sizes are known."""
    arena = Arena(kernels, plans)
    return arena.plan({}, arena.needed(arena.units({}), {}), align, True, threads).plan


def stream_arena(kernels: Kernels, env: Mapping[str, int], align: int) -> memory.Plan:
    """The arena of a device's stream, where every launch waits for the one before it."""
    every = [k > 0 for k in range(len(kernels.nests))]
    return lives(kernels, kernels.nests, every).placed(env, align)


def _around_loops(kernels: Kernels, found: Mapping[int, bool]) -> Waits:
    """Turns of a loop wait for one another, and what follows a loop or a call for its end."""
    flags = [found.get(k, False) for k in range(len(kernels.nests))]
    for call in kernels.calls:
        if call.before < len(flags):
            flags[call.before] = True
    for loop in kernels.loops:
        flags[loop.first] = True
        if loop.last < len(flags):
            flags[loop.last] = True
    return tuple(flags)


def _later(kernels: Kernels) -> set[int]:
    """The launches that take turns with one before them."""
    return {k for first, count in kernels.groups for k in range(first + 1, first + count)}


def lives(
    kernels: Kernels,
    nests: Sequence[Nest],
    waits: Sequence[bool],
    fitting: Fitting | None = None,
) -> Lives:
    """Intermediates live from the phase that writes them to the last that reads them.

    What a loop goes through lives as long as the loop. A result may take the bytes of an operand
    that its kernel is the last to read, with ``fitting``.
    """
    outside = {*kernels.inputs, *kernels.outputs}
    spans: dict[Buffer, list[int]] = {}
    phases = (2 * np.cumsum(waits, dtype=np.int64)).tolist()
    ends = {
        k: (loop.first, loop.last - 1)
        for loop in kernels.loops
        for k in range(loop.first, loop.last)
    }
    lasting = _lasting(kernels, nests, ends)
    for k, nest in enumerate(nests):
        for buffer in nest.buffers:
            place = kernels.places.get(buffer)
            first, last = ends.get(k, (k, k)) if buffer in lasting else (k, k)
            for one in (buffer,) if place is None else place.touched:
                if one not in outside:
                    span = spans.setdefault(one, [phases[first], phases[last]])
                    span[1] = max(span[1], phases[last])
    for call in kernels.calls:
        phase = phase_of(call, phases)
        for one in call.buffers:
            if one not in outside:
                span = spans.setdefault(one, [phase, phase])
                span[:] = [min(span[0], phase), max(span[1], phase)]
    taken: dict[Buffer, Buffer] = {}
    if fitting is not None:
        called = (one for call in kernels.calls for one in call.buffers)
        taken = taken_places(fitting, phases, {*outside, *kernels.places, *called})
    first_of = owners(taken)
    for new, old in first_of.items():
        spans[old][1] = max(spans[old][1], spans.pop(new)[1])
    return Lives(
        tuple((buffer, first, last) for buffer, (first, last) in spans.items()),
        {new.name: old.name for new, old in taken.items()},
    )


def size_in_bytes(buffer: Buffer, env: Mapping[str, int], threads: int = 1) -> int:
    """What a buffer occupies, padding lanes and those of other threads included."""
    total = buffer.dtype.itemsize
    for axis, size in enumerate(buffer.room):
        count = evaluate(size, env)
        total *= -(-count // LANES) * LANES if axis == buffer.batch else count
    total = max(total, buffer.dtype.itemsize * LANES)
    return threads * -(-total // LINE) * LINE if buffer.own else total


def _lasting(
    kernels: Kernels, nests: Sequence[Nest], ends: Mapping[int, tuple[int, int]]
) -> set[Buffer]:
    """What a loop goes through, or was given before it: every turn finds it as it was."""
    found = set(kernels.places)
    homes: dict[Buffer, tuple[int, int] | None] = {}
    for k, nest in enumerate(nests):
        for buffer in nest.buffers:
            if homes.setdefault(buffer, ends.get(k)) != ends.get(k):
                found.add(buffer)
    return found
