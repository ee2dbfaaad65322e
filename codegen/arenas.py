"""Sizes in, barriers and places of intermediates out, from few plans for many sizes.

A program with open sizes meets many batch sizes. Planning memory for each would cost milliseconds.
A plan is good for every size that is no larger and needs the same barriers; where one is larger
the new plan leaves room for others to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from codegen import memory
from codegen.arena import Arena, Planned, Waits, size_in_bytes
from codegen.kernels import Kernels
from codegen.nest import LANES, Buffer
from codegen.schedule import Schedule

ROOM = 4  # a plan that replaces another one is for sizes a fourth larger, and whole lanes


class _Known(NamedTuple):
    """A plan, the sizes it is for, and the bytes of one buffer of each kind that is open."""

    planned: Planned
    env: Mapping[str, int]
    open: tuple[tuple[Buffer, int], ...]


class Arenas:
    """The plans of one program."""

    def __init__(
        self, kernels: Kernels, plans: Sequence[Schedule], align: int, tight: bool
    ) -> None:
        """``kernels`` and ``plans`` of the program; ``tight``: there is a budget for memory."""
        self._arena, self._align, self._tight = Arena(kernels, plans), align, tight
        self._known: dict[tuple[int, Waits], _Known] = {}
        self._latest: _Known | None = None
        found = [buffer for plan in plans for buffer in plan.nest.buffers]
        found += [buffer for place in kernels.places.values() for buffer in place.touched]
        found += [buffer for call in kernels.calls for buffer in call.buffers]
        kinds = {_kind(b): b for b in found if not all(isinstance(size, int) for size in b.room)}
        self._kinds = tuple(kinds.values())

    def units(self, env: Mapping[str, int]) -> list[int]:
        """How many units of work each kernel's threads share out."""
        return self._arena.units(env)

    def at(
        self, env: Mapping[str, int], counts: Sequence[int], threads: int
    ) -> tuple[Waits, memory.Plan]:
        """Before which kernels all threads wait, and where each intermediate lies.

        ``counts`` are the units of work of each kernel, ``threads`` have arrays of their own.
        """
        needed = self._arena.needed(counts, env)
        key = threads, needed
        known = self._known.get(key)
        if known is None or not self._fits(known, env, threads):
            known = self._known[key] = self._latest = self._new(env, needed, threads)
        return known.planned.waits, known.planned.plan

    def _fits(self, known: _Known, env: Mapping[str, int], threads: int) -> bool:
        return env == known.env or all(
            size_in_bytes(buffer, env, threads) <= size for buffer, size in known.open
        )

    def _new(self, env: Mapping[str, int], needed: Waits, threads: int) -> _Known:
        like = self._latest
        if like is not None:
            env = {s: _roomy(size, like.env[s]) for s, size in env.items()}
        planned = self._arena.plan(
            env, needed, self._align, self._tight, threads, like and like.planned
        )
        sizes = tuple((b, size_in_bytes(b, env, threads)) for b in self._kinds)
        return _Known(planned, dict(env), sizes)


def _roomy(size: int, before: int) -> int:
    """What is planned for where ``size`` comes after ``before``."""
    if size <= before:
        return before
    return -(-max(size, before + before // ROOM) // LANES) * LANES


def _kind(buffer: Buffer) -> tuple[object, ...]:
    """Buffers of one kind have one size for any sizes."""
    return buffer.room, buffer.batch, buffer.dtype.itemsize, buffer.own
