"""Sizes in, barriers and places of intermediates out: one arena for all sizes of a program.

A program with open sizes meets many batch sizes. Planning memory for each would cost tens of
milliseconds a size, and an arena each would cost memory. A plan is good for every size that is no
larger and needs the same barriers; where one is larger the new plan leaves room for others to come.
Nothing in the arena outlives a run, so that all sizes use the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from codegen import memory
from codegen.arena import arena, needed_barriers, size_in_bytes
from codegen.nest import LANES, Buffer
from codegen.schedule import Schedule

ROOM = 4  # a plan that replaces another one is for sizes a fourth larger, and whole lanes
Memory = npt.NDArray[np.uint8]


class _Planned(NamedTuple):
    """Barriers and places, the sizes they were planned for, and each buffer's bytes."""

    waits: list[bool]
    plan: memory.Plan
    env: Mapping[str, int]
    bytes: Mapping[str, int]


class Arenas:
    """The plans of one program, and the memory that they lie in."""

    def __init__(self, kernels: Any, plans: Sequence[Schedule], align: int, tight: bool) -> None:
        """``kernels`` and ``plans`` of the program; ``tight``: there is a budget for memory."""
        self._kernels, self._plans, self._align, self._tight = kernels, plans, align, tight
        self._planned: dict[tuple[int, tuple[bool, ...]], _Planned] = {}
        self._memory: Memory = np.zeros(0, np.uint8)
        found = [buffer for plan in plans for buffer in plan.nest.buffers]
        found += [buffer for place in kernels.places.values() for buffer in place.touched]
        found += [buffer for call in kernels.calls for buffer in call.buffers]
        self._buffers: dict[str, Buffer] = {buffer.name: buffer for buffer in found}

    def at(
        self, env: Mapping[str, int], counts: Sequence[int], threads: int
    ) -> tuple[list[bool], memory.Plan]:
        """Before which kernels all threads wait, and where each intermediate lies.

        ``counts`` are the units of work of each kernel, ``threads`` have arrays of their own.
        """
        needed = tuple(needed_barriers(self._kernels, self._plans, counts, env))
        key = threads, needed
        known = self._planned.get(key)
        if known is None or not self._fits(known, env, threads):
            known = self._planned[key] = self._new(env, needed, known, threads)
        return known.waits, known.plan

    def memory(self, size: int) -> tuple[Memory, bool]:
        """At least ``size`` bytes, and whether they are new: then nobody needs the old ones."""
        fresh = self._memory.size < size
        if fresh:
            raw = np.zeros(size + self._align, np.uint8)
            start = -raw.__array_interface__["data"][0] % self._align
            self._memory = raw[start : start + size]
        return self._memory, fresh

    def _fits(self, known: _Planned, env: Mapping[str, int], threads: int) -> bool:
        return env == known.env or all(
            size_in_bytes(self._buffers[name], env, threads) <= size
            for name, size in known.bytes.items()
        )

    def _new(
        self,
        env: Mapping[str, int],
        needed: tuple[bool, ...],
        known: _Planned | None,
        threads: int,
    ) -> _Planned:
        roomy = dict(env)
        if known is not None:
            grown = {s: max(n, known.env[s] + known.env[s] // ROOM) for s, n in env.items()}
            roomy = {s: -(-size // LANES) * LANES for s, size in grown.items()}
        rule = (self._align, self._tight, needed, threads)
        waits, plan = arena(self._kernels, self._plans, roomy, *rule)
        return _Planned(waits, plan, roomy, {part.name: part.size for part in plan.intervals})
