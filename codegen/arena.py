"""Kernels in launch order and sizes in, who waits for whom and where each intermediate lies out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from codegen import memory
from codegen.barriers import Share, barriers, share_of, together
from codegen.calls import phase_of
from codegen.inplace import owners, taken_places
from codegen.kernels import Kernels
from codegen.nest import LANES, Buffer, Nest
from codegen.schedule import Schedule
from codegen.vector.kernel import units
from ir.dims import evaluate

LARGE = 8 << 20  # bytes
LINE = 64  # bytes that threads should not share
WORTH = 0.95  # of an arena: less is not worth more barriers


def arena(
    kernels: Kernels,
    plans: Sequence[Schedule],
    env: Mapping[str, int],
    align: int,
    tight: bool = False,
    needed: Sequence[bool] | None = None,
    threads: int = 1,
) -> tuple[list[bool], memory.Plan]:
    """Before which kernels all threads wait for one another, and the arena that this allows.

    Between two barriers one thread may be kernels ahead of another, so that nothing which is alive
    there shares memory. Large arenas, and those with a budget (``tight``), get more barriers than
    the results need: each costs microseconds, and memory that is used again sooner is still in a
    cache. ``needed``: the barriers that results need, where the caller knows them; ``threads``:
    how many of them have arrays of their own.
    """
    if needed is None:
        needed = needed_barriers(kernels, plans, [units(plan, env) for plan in plans], env)
    needed, nests = list(needed), [plan.nest for plan in plans]
    plan = _plan(kernels, nests, needed, env, align, threads)
    if plan.total < LARGE and not tight:
        return needed, plan
    turns = {k for loop in kernels.loops for k in range(loop.first, loop.last)}
    turns |= _later(kernels)
    every = [flag or (k > 0 and k not in turns) for k, flag in enumerate(needed)]
    apart = _plan(kernels, nests, every, env, align, threads)
    return (every, apart) if apart.total < WORTH * plan.total else (needed, plan)


def stream_arena(kernels: Kernels, env: Mapping[str, int], align: int) -> memory.Plan:
    """The arena of a device's stream, where every launch waits for the one before it."""
    every = [k > 0 for k in range(len(kernels.nests))]
    return _plan(kernels, kernels.nests, every, env, align, inplace=False)


def _needed(kernels: Kernels, shares: Sequence[Share]) -> list[bool]:
    """Turns of a loop wait for one another, and what follows a loop or a call for its end."""
    counts = dict(kernels.groups)
    later = _later(kernels)
    starts = [k for k in range(len(shares)) if k not in later]
    found = barriers([together(shares[k : k + counts.get(k, 1)]) for k in starts])
    flags = [False] * len(shares)
    for k, flag in zip(starts, found, strict=True):
        flags[k] = flag
    for call in kernels.calls:
        if call.before < len(flags):
            flags[call.before] = True
    for loop in kernels.loops:
        flags[loop.first] = True
        if loop.last < len(flags):
            flags[loop.last] = True
    return flags


def _later(kernels: Kernels) -> set[int]:
    """The launches that take turns with one before them."""
    return {k for first, count in kernels.groups for k in range(first + 1, first + count)}


def _plan(
    kernels: Kernels,
    nests: Sequence[Nest],
    waits: Sequence[bool],
    env: Mapping[str, int],
    align: int,
    threads: int = 1,
    inplace: bool = True,
) -> memory.Plan:
    """Intermediates live from the phase that writes them to the last that reads them.

    What a loop goes through lives as long as the loop. With ``inplace`` a result may take the
    bytes of an operand that its kernel is the last to read.
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
    taken = dict[Buffer, Buffer]()
    if inplace and not kernels.loops:
        fixed = {
            *outside,
            *kernels.places,
            *(one for call in kernels.calls for one in call.buffers),
        }
        taken = taken_places(nests, phases, fixed)
    first_of = owners(taken)
    for new, old in first_of.items():
        spans[old][1] = max(spans[old][1], spans.pop(new)[1])
    intervals = [
        memory.Interval(buffer.name, size_in_bytes(buffer, env, threads), first, last)
        for buffer, (first, last) in spans.items()
    ]
    done = memory.plan(intervals, align)
    memory.check(done, intervals)
    return memory.shared(done, {new.name: old.name for new, old in taken.items()})


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


def needed_barriers(
    kernels: Kernels, plans: Sequence[Schedule], counts: Sequence[int], env: Mapping[str, int]
) -> list[bool]:
    """Before which kernels results need all threads to wait, whatever the arena gains by more."""
    pairs = zip(plans, counts, strict=True)
    return _needed(kernels, [share_of(plan, count, env) for plan, count in pairs])
