"""A finished trace and a device's program in, steps that stay on the device out.

State lies in memory of the device and is read and written there from call to call; arguments are
copied to the program's own places. Nothing waits for the device unless the step gives something to
the host: a result on the CPU, a number, or state that belongs to the CPU and is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.device import runtime
from engine.program import Bound, Draft
from engine.storage import CPU, Cell


class DeviceBound(Bound):
    """A program on a device with its state: ``run(leaves, tensors)`` asks for one step."""

    def __init__(self, draft: Draft, program: Any) -> None:
        super().__init__(draft, program)
        self._runtime = runtime()
        # Whole cells that belong to the device, or to nobody, are state that stays there. The
        # CPU's own, and views, are copied at each call, and back where they are written.
        found = zip(self._places, self._cells, strict=True)
        self._state = frozenset(i for i, cell in found if _stays(cell))

    def run(self, leaves: Sequence[Any], tensors: Sequence[Any]) -> Any:
        """One call: gather, ask for the run, and only then change state."""
        inputs = self._blank.copy()
        cells = dict(zip(self._places, self._cells, strict=True))
        cells.update((i, tensors[argument]._cell) for i, argument in self._tensors)
        for i, cell in cells.items():
            inputs[i] = self._memory(cell) if _stays(cell) else cell.array
        for (i, at, getter, _), slot in zip(self._numbers, self._slots, strict=True):
            slot[()] = leaves[at] if getter is None else getter()  # type: ignore[index]
            inputs[i] = slot
        for i, rule in self.draft.checks:
            self._check(inputs[i], rule)
        state = frozenset(i for i in self._state if _stays(cells[i]))
        found = self.program.start(inputs, state)
        for at, into in self.draft.donated.items():
            self._store(cells[into], found[at], into in state)
        return self._commit(tensors, found)

    def _memory(self, cell: Cell) -> Any:
        """The memory of a whole cell, on the device from now on."""
        memory = cell.counter.memory
        if memory is None:
            memory = cell.counter.memory = self._runtime.hold(cell.held)
        return memory

    def _check(self, given: Any, rule: Any) -> None:
        """A rule about places, where the host knows them: nobody waits for the device to ask."""
        if isinstance(given, np.ndarray):
            rule(given)
        elif given.on_host:
            rule(given.read())

    def _store(self, cell: Cell, found: Any, in_place: bool) -> None:
        """What a written cell holds now."""
        if in_place:
            cell.counter.version += 1
        elif _stays(cell):
            cell.hold(found)
            cell.counter.version += 1
        else:
            assert cell.array is not None
            np.copyto(cell.array, found.read())
            cell.counter.wrote()


def _stays(cell: Cell) -> bool:
    """Whether a cell's memory may be the device's: it is whole, and not the CPU's own."""
    return cell.home != CPU and not cell.partial


class OnHost:
    """A program that runs on the host (the interpreter), for tensors of a device."""

    def __init__(self, program: Any) -> None:
        self.program = program

    def start(self, inputs: Sequence[Any], resident: frozenset[int]) -> list[Any]:
        """As ``codegen.cuda.run.CudaProgram.start``; the memories' arrays are read and written."""
        arrays = [x if isinstance(x, np.ndarray) else x.read() for x in inputs]
        found = self.program.run(arrays)
        for at in resident:
            inputs[at].wrote()
        return [runtime().hold(array) for array in found]
