"""Kernels in launch order in, the table of their arguments' addresses out, for any sizes.

A network's step has a thousand arguments. Which array each is, and at which turn of a loop, is
found once for each number of turns; another size then costs a few operations on whole columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codegen.arena import size_in_bytes
from codegen.driver import FIELDS
from codegen.kernels import Kernels
from codegen.loops import Place
from codegen.memory import Plan
from codegen.nest import Buffer
from codegen.schedule import Schedule
from codegen.slots import Slots
from ir.dims import evaluate

Column = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Part:
    """The entries that lie in one array: all at its start, or each at the row of its turn."""

    owner: Buffer
    places: Column
    turns: Column
    row: Place | None

    def offsets(self, env: Mapping[str, int]) -> Column | int:
        """How many bytes from the array's start."""
        if self.row is None:
            return 0
        step = evaluate(self.row.row, env) * self.owner.dtype.itemsize
        found: Column = (evaluate(self.row.start, env) + self.row.step * self.turns) * step
        return found


@dataclass(frozen=True)
class Launched:
    """Every launch as (kernel, turn of its loop), in order, and what its arguments lie in."""

    calls: tuple[tuple[int, int], ...]
    starts: Column  # the first entry of each launch
    entries: int
    inside: tuple[_Part, ...]  # intermediates
    outside: Mapping[Buffer, tuple[_Part, ...]]  # inputs and outputs

    @cached_property
    def kernels(self) -> Column:
        """The kernel of each launch."""
        return np.array([k for k, _ in self.calls], np.int64)

    @cached_property
    def moving(self) -> tuple[_Part, ...]:
        """What lies at rows of intermediates."""
        return tuple(part for part in self.inside if part.row is not None)

    @cached_property
    def still(self) -> tuple[list[Buffer], Column, Column]:
        """The other intermediates, the entries that lie at their starts, and whose each is."""
        parts = [part for part in self.inside if part.row is None]
        places = np.concatenate([part.places for part in parts] or [np.zeros(0, np.int64)])
        whose = np.repeat(np.arange(len(parts)), [len(part.places) for part in parts])
        return [part.owner for part in parts], places, whose

    @cached_property
    def fixed(self) -> dict[Buffer, Slots]:
        """What follows the address of an input or output whatever the sizes."""
        return {
            owner: Slots.of([(part.places, 0) for part in parts])
            for owner, parts in self.outside.items()
            if all(part.row is None for part in parts)
        }


@dataclass(frozen=True)
class Table:
    """A row of addresses for each thread that has arrays of its own; and what is still open."""

    rows: npt.NDArray[np.int64]
    slots: Mapping[Buffer, Slots]  # what follows each input's and output's address


class Arguments:
    """The argument tables of one program."""

    def __init__(
        self, kernels: Kernels, plans: Sequence[Schedule], addresses: Sequence[int]
    ) -> None:
        """``addresses`` of the machine code of each kernel."""
        self._kernels, self._plans = kernels, plans
        self._known: dict[tuple[int, ...], Launched] = {}
        groups = dict(kernels.groups)
        self._strips = np.array([max(plan.strips, 1) for plan in plans], np.int64)
        self._fixed = np.zeros((len(plans), FIELDS), np.int64)
        self._fixed[:, 0] = addresses
        self._fixed[:, 5] = self._strips
        self._fixed[:, 6] = [groups.get(k, 1) for k in range(len(plans))]
        self._apart = np.array([bool(plan.nest.turns) for plan in plans], bool)

    def launched(self, env: Mapping[str, int]) -> Launched:
        """The launches for the symbols' values in ``env``."""
        turns = tuple(evaluate(loop.turns, env) for loop in self._kernels.loops)
        if turns not in self._known:
            self._known[turns] = self._launched(turns, env)
        return self._known[turns]

    def table(
        self, launched: Launched, plan: Plan, arena: int, env: Mapping[str, int], threads: int
    ) -> Table:
        """Addresses where intermediates lie as in ``plan``, from address ``arena`` on."""
        row = np.zeros(max(launched.entries, 1), np.int64)
        owners, places, whose = launched.still
        starts = np.array([plan.offsets[owner.name] for owner in owners], np.int64)
        row[places] = arena + starts[whose]
        for part in launched.moving:
            row[part.places] = arena + plan.offsets[part.owner.name] + part.offsets(env)
        rows = np.repeat(row[None], threads, axis=0)
        own = [part for part in launched.inside if part.owner.own and threads > 1]
        for part in own:
            size = size_in_bytes(part.owner, env)
            rows[:, part.places] += size * np.arange(threads, dtype=np.int64)[:, None]
        slots = {
            owner: launched.fixed.get(owner)
            or Slots.of([(part.places, part.offsets(env)) for part in parts])
            for owner, parts in launched.outside.items()
        }
        return Table(rows, slots)

    def launches(
        self,
        launched: Launched,
        table: npt.NDArray[np.int64],
        sizes: int,
        counts: Sequence[int],
        waits: Sequence[bool],
    ) -> npt.NDArray[np.int64]:
        """The driver's list: ``sizes``, the address of the symbols' values; ``counts`` of units."""
        every = self._fixed.copy()
        every[:, 2] = sizes
        every[:, 3] = np.array(counts, np.int64) // self._strips
        every[:, 4] = waits
        every[self._apart, 7] = table.strides[0]
        rows = every[launched.kernels]
        rows[:, 1] = table.__array_interface__["data"][0] + 8 * launched.starts
        return rows

    def _launched(self, turns: Sequence[int], env: Mapping[str, int]) -> Launched:
        calls: list[tuple[int, int]] = []
        at = 0
        for loop, count in zip(self._kernels.loops, turns, strict=True):
            calls += [(k, 0) for k in range(at, loop.first)]
            body = range(loop.first, loop.last)
            calls += [(k, turn) for turn in range(count) for k in body]
            at = loop.last
        calls += [(k, 0) for k in range(at, len(self._plans))]
        starts: list[int] = []
        entries = 0
        found: dict[tuple[Buffer, Place | None], list[tuple[int, int]]] = {}
        for k, turn in calls:
            starts.append(entries)
            for buffer in self._plans[k].nest.buffers:
                place = self._kernels.places.get(buffer)
                owner, row = (buffer, None) if place is None else place.owner(turn, env)
                found.setdefault((owner, row), []).append((entries, turn))
                entries += 1
        parts = []
        for (owner, row), where in found.items():
            places, at_turns = np.array(where, np.int64).T.copy()
            parts.append(_Part(owner, places, at_turns, row))
        ends = {*self._kernels.inputs, *self._kernels.outputs}
        outside: dict[Buffer, tuple[_Part, ...]] = {}
        for part in parts:
            if part.owner in ends:
                outside[part.owner] = (*outside.get(part.owner, ()), part)
        inside = tuple(part for part in parts if part.owner not in ends)
        return Launched(tuple(calls), np.array(starts, np.int64), entries, inside, outside)
