"""Compiled kernels and arrays in, one native call, results out.

A program binds itself to each set of sizes once: units of work, barriers, and the place of every
intermediate in one arena. A steady step then only fills in the addresses that changed and calls
the driver; it allocates nothing but the results it hands out.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen import memory
from codegen.barriers import barriers, share_of
from codegen.driver import shared_driver
from codegen.nest import LANES, Buffer
from codegen.nests import Kernels
from codegen.results import plan_results
from codegen.schedule import Schedule
from codegen.vector.kernel import units
from ir.dims import evaluate
from ir.interpret import bind_symbols

Array = npt.NDArray[Any]
ALIGN = 64


@dataclass(frozen=True)
class Report:
    """What a build cost and found."""

    seconds: float
    cache_hit: bool
    kernels: int
    distinct: int
    spelling: str


@dataclass
class Binding:
    """Everything that depends on the sizes: launches, argument table, arena."""

    env: dict[str, int]
    launches: npt.NDArray[np.int64]
    table: npt.NDArray[np.int64]  # every kernel's argument pointers, one after the other
    external: tuple[tuple[int, npt.NDArray[np.int64]], ...]  # (input, places in the table)
    fresh: tuple[tuple[int, npt.NDArray[np.int64]], ...]  # (output, places in the table)
    shapes: tuple[tuple[int, ...], ...]
    arena: Array
    plan: memory.Plan
    sizes: npt.NDArray[np.int64]
    bound: list[Array | None]


class Program:
    """One compiled graph, ready to run."""

    def __init__(
        self,
        kernels: Kernels,
        plans: Sequence[Schedule],
        addresses: Sequence[int],
        dims: Mapping[str, int],
        donated: Mapping[int, int],
        report: Report,
    ) -> None:
        self.kernels, self.plans, self.report = kernels, tuple(plans), report
        self._addresses, self._dims = tuple(addresses), dict(dims)
        self._results = plan_results(kernels.inputs, kernels.outputs, kernels.old, donated)
        self._bindings: dict[tuple[tuple[int, ...], ...], Binding] = {}
        self._lock = threading.Lock()

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for ``inputs``; donated outputs are their input arrays, overwritten.

        Inputs are C-contiguous and have the graph's dtypes and ranks.
        """
        with self._lock:
            key = tuple([x.shape for x in inputs])
            binding = self._bindings.get(key)
            if binding is None:
                binding = self._bindings[key] = self._bind(key)
            self._point(binding, inputs)
            results = self._results.begin(inputs, binding.shapes, self.kernels.outputs)
            for at, places in binding.fresh:
                binding.table[places] = results[at].__array_interface__["data"][0]
            shared_driver().run(binding.launches)
            self._results.finish(inputs, results)
            return results

    def memory_plan(self, inputs: Sequence[Array]) -> memory.Plan:
        """Where each intermediate lies for inputs of these shapes."""
        key = tuple(x.shape for x in inputs)
        if key not in self._bindings:
            self._bindings[key] = self._bind(key)
        return self._bindings[key].plan

    def barriers(self, env: Mapping[str, int]) -> list[bool]:
        """Before which kernels all threads wait, for the symbols' values in ``env``."""
        return barriers([share_of(plan, units(plan, env), env) for plan in self.plans])

    # -- one run ------------------------------------------------------------------------------

    def _point(self, binding: Binding, inputs: Sequence[Array]) -> None:
        """Write the addresses of arrays that are not those of the last run."""
        bound = binding.bound
        for at, places in binding.external:
            array = inputs[at]
            if bound[at] is not array:
                self._check(at, array)
                binding.table[places] = array.__array_interface__["data"][0]
                bound[at] = array

    def _check(self, at: int, array: Array) -> None:
        buffer = self.kernels.inputs[at]
        if array.dtype != buffer.dtype or not array.flags.c_contiguous:
            order = "" if array.flags.c_contiguous else ", not C-contiguous"
            raise TypeError(f"input {buffer} was given an array of {array.dtype}{order}")

    # -- binding to sizes -----------------------------------------------------------------------

    def _bind(self, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        env = bind_symbols([buffer.shape for buffer in self.kernels.inputs], shapes)
        counts = [units(plan, env) for plan in self.plans]
        shares = [share_of(plan, n, env) for plan, n in zip(self.plans, counts, strict=True)]
        waits = barriers(shares)
        plan = self._arena_plan(waits, env)
        arena = _aligned(plan.total)
        sizes = np.array([env[name] for name in self._dims] or [0], np.int64)
        table, places = self._table(plan, arena)
        launches = self._launches(table, sizes, counts, waits)
        external = tuple(
            (at, np.array(places[buffer], np.int64))
            for at, buffer in enumerate(self.kernels.inputs)
            if buffer in places
        )
        fresh = tuple(
            (at, np.array(places[self.kernels.outputs[at]], np.int64)) for at in self._results.fresh
        )
        outputs = tuple(
            tuple(evaluate(size, env) for size in buffer.shape) for buffer in self.kernels.outputs
        )
        nothing: list[Array | None] = [None] * len(shapes)
        return Binding(env, launches, table, external, fresh, outputs, arena, plan, sizes, nothing)

    def _arena_plan(self, waits: Sequence[bool], env: Mapping[str, int]) -> memory.Plan:
        """Intermediates live from the phase that writes them to the last that reads them."""
        outside = {*self.kernels.inputs, *self.kernels.outputs}
        spans: dict[Buffer, list[int]] = {}
        phase = 0
        for plan, wait in zip(self.plans, waits, strict=True):
            phase += wait
            for buffer in plan.nest.buffers:
                if buffer not in outside:
                    spans.setdefault(buffer, [phase, phase])[1] = phase
        intervals = [
            memory.Interval(buffer.name, size_in_bytes(buffer, env), first, last)
            for buffer, (first, last) in spans.items()
        ]
        done = memory.plan(intervals, ALIGN)
        memory.check(done, intervals)
        return done

    def _table(
        self, plan: memory.Plan, arena: Array
    ) -> tuple[npt.NDArray[np.int64], dict[Buffer, list[int]]]:
        """Argument pointers of every kernel; places that inputs and outputs fill at each run."""
        base = arena.__array_interface__["data"][0]
        outside = {*self.kernels.inputs, *self.kernels.outputs}
        entries: list[int] = []
        places: dict[Buffer, list[int]] = {}
        for schedule in self.plans:
            for buffer in schedule.nest.buffers:
                if buffer in outside:
                    places.setdefault(buffer, []).append(len(entries))
                    entries.append(0)
                else:
                    entries.append(base + plan.offsets[buffer.name])
        return np.array(entries or [0], np.int64), places

    def _launches(
        self,
        table: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        counts: Sequence[int],
        waits: Sequence[bool],
    ) -> npt.NDArray[np.int64]:
        rows, at = [], 0
        start, dims = table.__array_interface__["data"][0], sizes.__array_interface__["data"][0]
        for plan, address, count, wait in zip(
            self.plans, self._addresses, counts, waits, strict=True
        ):
            rows.append((address, start + 8 * at, dims, count, int(wait)))
            at += len(plan.nest.buffers)
        return np.array(rows, np.int64).reshape(-1, 5)


def size_in_bytes(buffer: Buffer, env: Mapping[str, int]) -> int:
    """What a buffer occupies, padding lanes included."""
    total = buffer.dtype.itemsize
    for axis, size in enumerate(buffer.shape):
        count = evaluate(size, env)
        total *= -(-count // LANES) * LANES if axis == buffer.batch else count
    return max(total, buffer.dtype.itemsize * LANES)


def _aligned(size: int) -> Array:
    raw = np.zeros(size + ALIGN, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGN
    return raw[start : start + size]
