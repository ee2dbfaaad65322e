"""Compiled kernels and arrays in, one native call, results out.

A program binds itself to each set of sizes once: units of work, barriers, and the place of every
intermediate in one arena. A steady step then only fills in the addresses that changed and calls
the driver; it allocates nothing but the results it hands out.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen import memory
from codegen.arena import size_in_bytes
from codegen.arenas import Arenas
from codegen.arguments import Arguments
from codegen.driver import shared_driver
from codegen.effort import NEAR, Efforts
from codegen.kernels import Kernels
from codegen.nest import Buffer
from codegen.pages import ALIGN, shared_pages
from codegen.recycle import Recycler
from codegen.results import plan_results
from codegen.schedule import Schedule
from codegen.slots import Slots
from ir.dims import evaluate
from ir.interpret import bind_symbols

Array = npt.NDArray[Any]
_programs: weakref.WeakSet[Program] = weakref.WeakSet()


@dataclass(frozen=True)
class Report:
    """What a build cost and found."""

    seconds: float
    cache_hit: bool
    kernels: int
    distinct: int
    spelling: str
    repeated: int = 0  # nodes computed twice, so that intermediates fit their budget
    tight: bool = False  # there is a budget


@dataclass
class Timings:
    """Seconds in each kernel, summed over the turns of its loop, one list for every run.

    Runs are taken apart and in one piece by turns, so that both meet the machine in one state.
    """

    runs: list[list[float]] = field(default_factory=list)
    launches: list[int] = field(default_factory=list)  # how often a run launches each kernel
    empty: list[float] = field(default_factory=list)  # a launch that has nothing to do
    outside: list[float] = field(default_factory=list)  # calls of LAPACK, per run
    whole: list[float] = field(default_factory=list)  # runs in one piece
    env: dict[str, int] = field(default_factory=dict)  # the symbols' values


@dataclass
class Binding:
    """Everything that depends on the sizes: launches, argument table, arena."""

    env: dict[str, int]
    launches: npt.NDArray[np.int64]
    start: int  # their address
    table: npt.NDArray[np.int64]  # every kernel's argument pointers, a row for each thread
    threads: int  # that have arrays of their own; 0: none have
    alone: bool  # too little work to share
    external: Mapping[int, Slots]  # what follows each input's address
    fresh: tuple[tuple[int, Slots], ...]  # what follows each output's address
    stops: tuple[int, ...]  # for each call-out how many launches come before it
    shapes: tuple[tuple[int, ...], ...]
    arena: Array
    plan: memory.Plan
    sizes: npt.NDArray[np.int64]
    given: tuple[tuple[int, ...], ...]  # the inputs' shapes
    bound: list[Array | None]  # the inputs of the last run


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
        self._arguments, self._dims = Arguments(kernels, self.plans, addresses), dict(dims)
        self._memory = Recycler()
        self._results = plan_results(kernels.inputs, kernels.outputs, kernels.old, donated)
        self._bindings: dict[tuple[int, tuple[tuple[int, ...], ...]], Binding] = {}
        self._apart = any(b.own for plan in self.plans for b in plan.nest.buffers)
        self._latest: Binding | None = None
        self._open = [
            at
            for at, buffer in enumerate(kernels.inputs)
            if not all(isinstance(size, int) for size in buffer.shape)
        ]
        self._arenas = Arenas(kernels, self.plans, ALIGN, report.tight)
        self._shapes = [_known_shape(buffer) for buffer in kernels.outputs]
        self._pages = shared_pages()
        self._efforts = Efforts([plan.nest for plan in self.plans])
        self._largest = 0
        _programs.add(self)
        self.timings: Timings | None = None  # set: run kernel by kernel, each timed

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for ``inputs``; donated outputs are their input arrays, overwritten.

        Inputs are C-contiguous and have the graph's dtypes and ranks.
        """
        with self._pages.lock:
            binding = self._point(inputs)
            results = self._results.begin(
                inputs, binding.shapes, self.kernels.outputs, self._memory
            )
            for at, slots in binding.fresh:
                slots.point(binding.table, results[at].__array_interface__["data"][0])
            if self.timings is not None:
                self._run_timed(binding, inputs, results, self.timings)
            elif self.kernels.calls:
                self._run_between_calls(binding, inputs, results)
            else:
                shared_driver().run_at(
                    binding.start, len(binding.launches), binding.threads, binding.alone
                )
            self._results.finish(inputs, results)
            return results

    def alert(self) -> None:
        """Wake the threads: a run is about to come, mostly like the last."""
        if self._latest is None or not self._latest.alone:
            shared_driver().alert()

    def memory_plan(self, inputs: Sequence[Array]) -> memory.Plan:
        """Where each intermediate lies for inputs of these shapes."""
        key = self._threads(), tuple(x.shape for x in inputs)
        with self._pages.lock:
            if key not in self._bindings:
                self._bindings[key] = self._bind(*key)
            return self._bindings[key].plan

    def barriers(self, env: Mapping[str, int]) -> list[bool]:
        """Before which kernels all threads wait, for the symbols' values in ``env``."""
        counts = self._arenas.units(env)
        return list(self._arenas.at(env, counts, max(self._threads(), 1))[0])

    @property
    def arena_bytes(self) -> int:
        """The largest arena of intermediates so far."""
        return self._largest

    # -- one run ------------------------------------------------------------------------------

    def _point(self, inputs: Sequence[Array]) -> Binding:
        """The binding for these arrays, with the addresses of those that the last run had not.

        Between two steps most of Python's objects leave the caches, so that looking at each of a
        network's arrays costs more than all else here: the arrays of the last run are not.
        """
        binding, fresh = self._latest, list[int]()
        if binding is not None:
            fresh = [at for at, x in enumerate(inputs) if x is not binding.bound[at]]
            asked = (*fresh, *self._open)
            other = asked and any(inputs[at].shape != binding.given[at] for at in asked)
            if other or binding.threads != self._threads():
                binding = None
        if binding is None:
            key = self._threads(), tuple([x.shape for x in inputs])
            binding = self._bindings.get(key)
            if binding is None:
                binding = self._bindings[key] = self._bind(*key)
            fresh = [at for at, x in enumerate(inputs) if x is not binding.bound[at]]
            self._latest = binding
        for at in fresh:
            array, slots = inputs[at], binding.external.get(at)
            if slots is not None:
                self._check(at, array)
                slots.point(binding.table, array.__array_interface__["data"][0])
            binding.bound[at] = array
        return binding

    def _run_timed(
        self,
        binding: Binding,
        inputs: Sequence[Array],
        results: Sequence[Array],
        timings: Timings,
    ) -> None:
        """The same run, a launch at a time: every kernel starts when the one before has ended."""
        if len(timings.whole) < len(timings.runs):
            started = time.perf_counter()
            self._run_between_calls(binding, inputs, results)
            timings.whole.append(time.perf_counter() - started)
            return
        seconds, outside = [0.0] * len(self.plans), 0.0
        driver, launches = shared_driver(), binding.launches
        turns = self._arguments.launched(binding.env).calls
        stops = dict.fromkeys(binding.stops)
        for at in range(len(turns) + 1):
            if at in stops:
                started = time.perf_counter()
                self._call_outs(binding, inputs, results, at)
                outside += time.perf_counter() - started
            if at < len(turns):
                one = launches[at : at + 1].copy()
                one[:, 6] = 1  # not by turns with others
                started = time.perf_counter()
                driver.run(one, binding.threads, binding.alone)
                seconds[turns[at][0]] += time.perf_counter() - started
        nothing = launches[:1].copy()
        nothing[:, 3:5], nothing[:, 6] = 0, 1  # no units, no barrier
        started = time.perf_counter()
        driver.run(nothing)
        timings.empty.append(time.perf_counter() - started)
        timings.runs.append(seconds)
        timings.outside.append(outside)
        timings.launches = [sum(k == kernel for k, _ in turns) for kernel in range(len(seconds))]
        timings.env = dict(binding.env)

    def _run_between_calls(
        self, binding: Binding, inputs: Sequence[Array], results: Sequence[Array]
    ) -> None:
        done, run = 0, shared_driver().run
        for stop in dict.fromkeys(binding.stops):
            if stop > done:
                run(binding.launches[done:stop], binding.threads, binding.alone)
            self._call_outs(binding, inputs, results, stop)
            done = stop
        if done < len(binding.launches):
            run(binding.launches[done:], binding.threads, binding.alone)

    def _call_outs(
        self, binding: Binding, inputs: Sequence[Array], results: Sequence[Array], stop: int
    ) -> None:
        """Everything that NumPy does before launch ``stop``."""
        owners = dict(zip(self.kernels.inputs, inputs, strict=True))
        owners |= {self.kernels.outputs[at]: results[at] for at in self._results.fresh}

        def array_of(buffer: Buffer) -> Array:
            found = owners.get(buffer)
            if found is None:
                start = binding.plan.offsets[buffer.name]
                shape = tuple(evaluate(size, binding.env) for size in buffer.shape)
                found = np.ndarray(shape, buffer.dtype, binding.arena, start)
                owners[buffer] = found
            return found

        for call, before in zip(self.kernels.calls, binding.stops, strict=True):
            if before == stop:
                call.run(array_of, binding.env, shared_driver().threads)

    def _check(self, at: int, array: Array) -> None:
        buffer = self.kernels.inputs[at]
        if array.dtype != buffer.dtype or not array.flags.c_contiguous:
            order = "" if array.flags.c_contiguous else ", not C-contiguous"
            raise TypeError(f"input {buffer} was given an array of {array.dtype}{order}")

    # -- binding to sizes -----------------------------------------------------------------------

    def _threads(self) -> int:
        """How many threads have arrays of their own; 0: none have."""
        return shared_driver().threads if self._apart else 0

    def _bind(self, threads: int, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        env = bind_symbols([buffer.shape for buffer in self.kernels.inputs], shapes)
        counts = self._arenas.units(env)
        waits, plan = self._arenas.at(env, counts, max(threads, 1))
        place, fresh_memory = self._pages.at_least(plan.total)
        self._largest = max(self._largest, plan.total)
        if fresh_memory:
            for program in list(_programs):  # they hold on to the old memory
                program._bindings.clear()
                program._latest = None
        sizes = np.array([env[name] for name in self._dims] or [0], np.int64)
        launched = self._arguments.launched(env)
        start = place.__array_interface__["data"][0]
        table = self._arguments.table(launched, plan, start, env, max(threads, 1))
        dims = sizes.__array_interface__["data"][0]
        launches = self._arguments.launches(launched, table.rows, dims, counts, waits)
        ins, outs, slots = self.kernels.inputs, self.kernels.outputs, table.slots
        external = {at: slots[buffer] for at, buffer in enumerate(ins) if buffer in slots}
        fresh = tuple((at, slots[outs[at]]) for at in self._results.fresh if outs[at] in slots)
        outputs = tuple(
            tuple(evaluate(size, env) for size in buffer.shape) if shape is None else shape
            for buffer, shape in zip(outs, self._shapes, strict=True)
        )
        nothing: list[Array | None] = [None] * len(shapes)
        kernels = launched.kernels
        stops = tuple(int(np.searchsorted(kernels, c.before)) for c in self.kernels.calls)
        return Binding(
            env,
            launches,
            launches.__array_interface__["data"][0],
            table.rows,
            threads,
            self._alone(plan, launched.calls, env),
            external,
            fresh,
            stops,
            outputs,
            place,
            plan,
            sizes,
            shapes,
            nothing,
        )

    def _alone(
        self, plan: memory.Plan, launches: Sequence[tuple[int, int]], env: Mapping[str, int]
    ) -> bool:
        """Whether one thread is as fast as all."""
        touched, outputs = plan.total, self.kernels.outputs
        for buffer in (*self.kernels.inputs, *(outputs[at] for at in self._results.fresh)):
            if touched > NEAR:
                return False
            touched += size_in_bytes(buffer, env)
        return touched <= NEAR and self._efforts.little(launches, env)


def _known_shape(buffer: Buffer) -> tuple[int, ...] | None:
    """The shape of a buffer that has no open sizes."""
    known = tuple(size for size in buffer.shape if isinstance(size, int))
    return known if len(known) == len(buffer.shape) else None
