"""A graph in, a program of kernels on a device out: whole steps, asked for and not waited for.

The plan is the CPU's without lanes: the same clusters in the same order, every buffer row-major.
``start`` copies arguments to places of the program's own, so that every address stays what it was
at the last call; state is read and written where it lies. The second call with the same addresses
records all of the step's launches as one graph, which later calls replay. What LAPACK computes is
computed on the host between launches, so that such a step is never recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from codegen.calls import Call
from codegen.cuda.binding import Binder, Binding, Launch, Region, size_of
from codegen.cuda.compiled import compiled
from codegen.cuda.plan import plan_cuda
from codegen.cuda.runtime import Memory, Runtime, runtime
from codegen.cuda.source import MOST_BLOCKS, emit_kernel
from codegen.cuda.streams import turns_of
from codegen.cuda.ways import BLOCK
from codegen.kernels import Kernels
from codegen.nest import Buffer
from codegen.results import OLD, Results, check_donations, plan_results
from ir.dims import evaluate
from ir.graph import Graph
from ir.passes import run_passes

Array: TypeAlias = npt.NDArray[Any]
Given: TypeAlias = "Memory | Array"
SIMULATED = 8, 2  # threads of a block and blocks of a grid, where they are Python's threads
KEPT = 8  # bindings to sizes and addresses
NUMBER = 64  # bytes of an argument that are compared before they are sent again


class CudaProgram:
    """One graph as CUDA kernels, in grids of at most ``blocks`` of ``block`` threads."""

    def __init__(
        self,
        graph: Graph,
        donated: Mapping[int, int] | None = None,
        block: int | None = None,
        blocks: int | None = None,
        warp: int = 0,
        precision: str = "default",
        simplified: bool = False,
        device: Runtime | None = None,
    ) -> None:
        self.runtime = device or runtime()
        small = self.runtime.driver.simulated
        block = block or (SIMULATED[0] if small else BLOCK)
        self.donated, self.block = dict(donated or {}), block
        self.blocks = blocks or (SIMULATED[1] if small else MOST_BLOCKS)
        check_donations(graph, self.donated)
        plain = graph if simplified else run_passes(graph)
        self.kernels: Kernels = plan_cuda(plain, self.donated)
        self.sources = [
            emit_kernel(nest, block=block, warp=warp, precision=precision)
            for nest in self.kernels.nests
        ]
        self._compiled = [compiled(kernel) for kernel in self.sources]
        kernels = self.kernels
        self._results: Results = plan_results(
            kernels.inputs, kernels.outputs, kernels.old, self.donated
        )
        self._binder = Binder(
            kernels, self.sources, self._compiled, self._results, self.runtime, self.blocks
        )
        self._bindings: dict[Any, Binding] = {}
        self._refused = ""

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for ``inputs``, waited for; donated outputs are their input arrays."""
        found = [memory.read() for memory in self.start(inputs)]
        for at, into in self.donated.items():
            np.copyto(inputs[into], found[at])
            found[at] = inputs[into]
        return found

    def start(
        self, inputs: Sequence[Given], resident: frozenset[int] = frozenset()
    ) -> list[Memory]:
        """Ask for one run; the outputs for ``inputs``, which nobody has waited for.

        Inputs that are ``resident`` are memories that stay where they are: donated outputs that
        belong to them are written in place, and are these memories. All other inputs are copied.
        """
        with self.runtime.lock:
            return self._start(inputs, resident)

    def _start(self, inputs: Sequence[Given], resident: frozenset[int]) -> list[Memory]:
        binding = self._bound(inputs, resident)
        for at, given in enumerate(inputs):
            if at not in resident:
                self._take_in(binding, at, given)
        if binding.graph is not None:
            self.runtime.driver.replay(binding.graph)
        elif binding.runs and not self.plain_because:
            self._record(binding)
        else:
            self._run(binding)  # the first run of a binding loads what a recording may not load
        binding.runs += 1
        return [self._give_out(binding, inputs, resident, at) for at in range(len(binding.outputs))]

    def _record(self, binding: Binding) -> None:
        """Record the run as a graph, and run that; a driver that refuses is not asked again."""
        driver = self.runtime.driver
        try:
            binding.graph = driver.record(lambda: self._run(binding, branches=True))
        except Exception as error:  # nothing has run: whatever refused, plain launches do
            why = (str(error) or repr(error)).splitlines()[0]
            self._refused = f"the driver does not record it ({why})"
            self._run(binding)
            return
        driver.replay(binding.graph)

    @property
    def plain_because(self) -> str:
        """Why the launches of a step are not recorded as one graph; empty where they are."""
        if self._refused:
            return self._refused
        if self.kernels.calls:
            names = {call.node.op.name for call in self.kernels.calls}
            return f"LAPACK computes {', '.join(sorted(names))} on the host"
        return self.runtime.driver.plain if self.sources else "there is nothing to launch"

    @property
    def arena_bytes(self) -> int:
        """The largest arena of intermediates so far."""
        return max((binding.plan.total for binding in self._bindings.values()), default=0)

    def explain(self) -> str:
        """How a step runs on the device, for people."""
        launches = sum(
            isinstance(one, Launch) for b in list(self._bindings.values())[-1:] for one in b.work
        )
        how = f"one by one: {self.plain_because}" if self.plain_because else "as one CUDA graph"
        return f"on {self.runtime.driver.name}: {launches} launches a step, {how}"

    # -- one run ------------------------------------------------------------------------------

    def _take_in(self, binding: Binding, at: int, given: Given) -> None:
        """Copy an argument to its place; a number that is still the same is there already."""
        block, offset = binding.where[self.kernels.inputs[at]]
        if isinstance(given, Memory):
            driver, size = self.runtime.driver, given.nbytes
            driver.copy(block.raw, offset, given.on().raw, 0, size)
            return
        if given.nbytes <= NUMBER:
            now = given.tobytes()
            if binding.seen.get(at) == now:
                return
            binding.seen[at] = now
        self.runtime.send(block, offset, given)

    def _run(self, binding: Binding, branches: bool = False) -> None:
        """Everything between taking in and giving out; ``branches``: launches that have nothing
        in common side by side."""
        for at, (word, source) in enumerate(self._results.starts):
            if word == OLD:
                self._copy(binding, self._input(binding, source), at)
        if branches:
            self._branch([one for one in binding.work if isinstance(one, Launch)])
        else:
            for one in binding.work:
                if isinstance(one, Launch):
                    self._launch(one)
                else:
                    self._call_out(binding, one)
        for at, source, into in self._results.copies:
            if into is None:
                self._copy(binding, binding.outputs[source], at)
            else:
                self._move(binding, binding.outputs[source], self._input(binding, into), at)

    def _launch(self, one: Launch, stream: int = 0) -> None:
        function = self._compiled[one.kernel]
        self.runtime.driver.launch(function, one.blocks, one.threads, one.arguments, stream)

    def _branch(self, launches: Sequence[Launch]) -> None:
        """All launches, on several streams that begin with the first one and end before it goes
        on."""
        driver, signals = self.runtime.driver, dict[int, Any]()
        turns = turns_of([one.touches for one in launches])
        others = sorted({turn.stream for turn in turns} - {0})
        if others:
            start = driver.signal(0)
            for stream in others:
                driver.wait(stream, start)
        for number, (one, turn) in enumerate(zip(launches, turns, strict=True)):
            for other in turn.waits:
                driver.wait(turn.stream, signals[other])
            self._launch(one, turn.stream)
            if turn.signals:
                signals[number] = driver.signal(turn.stream)
        for stream in others:
            driver.wait(0, driver.signal(stream))

    def _input(self, binding: Binding, at: int) -> Region:
        return binding.where[self.kernels.inputs[at]]

    def _copy(self, binding: Binding, source: Region, at: int) -> None:
        self._move(binding, source, binding.outputs[at], at)

    def _move(self, binding: Binding, source: Region, target: Region, at: int) -> None:
        """Bytes of output ``at`` from one place to another."""
        size = size_of(binding.shapes[at], self.kernels.outputs[at].dtype)
        if source != target:
            self.runtime.driver.copy(target[0].raw, target[1], source[0].raw, source[1], size)

    def _call_out(self, binding: Binding, call: Call) -> None:
        arrays: dict[Buffer, Array] = {}
        for buffer in call.buffers:
            shape = tuple(evaluate(size, binding.env) for size in buffer.shape)
            arrays[buffer] = np.empty(shape, buffer.dtype)
            self.runtime.fetch(*binding.where[buffer], arrays[buffer])
        call.run(arrays.__getitem__, binding.env)
        self.runtime.send(*binding.where[call.result], arrays[call.result])

    def _give_out(
        self, binding: Binding, inputs: Sequence[Given], resident: frozenset[int], at: int
    ) -> Memory:
        """Output ``at``: state that was written in place, or a copy of the program's own."""
        into = self.donated.get(at)
        if into is not None and into in resident:
            state = inputs[into]
            assert isinstance(state, Memory)
            state.computed()
            return state
        if into is not None:
            binding.seen.pop(into, None)
        shape, dtype = binding.shapes[at], self.kernels.outputs[at].dtype
        source, offset = self._input(binding, into) if into is not None else binding.outputs[at]
        size = size_of(shape, dtype)
        made = Memory(self.runtime, shape, dtype, block=self.runtime.pool.take(size))
        self.runtime.driver.copy(made.on().raw, 0, source.raw, offset, size)
        return made

    # -- binding to sizes and addresses -------------------------------------------------------

    def _bound(self, inputs: Sequence[Given], resident: frozenset[int]) -> Binding:
        state = {at: inputs[at].on() for at in resident}  # type: ignore[union-attr]
        shapes = tuple(tuple(x.shape) for x in inputs)
        address = self.runtime.driver.address
        key = (shapes, tuple((at, address(block.raw)) for at, block in sorted(state.items())))
        binding = self._bindings.pop(key, None) or self._binder.bind(shapes, state)
        self._bindings[key] = binding  # the latest is the last
        while len(self._bindings) > KEPT:
            del self._bindings[next(iter(self._bindings))]
        return binding
