"""A graph in, a program of kernels on a device out: whole steps, asked for and not waited for.

The plan is the CPU's without lanes: the same clusters in the same order, every buffer row-major.
``start`` copies arguments to places of the program's own, so that every address stays what it was
at the last call; state is read and written where it lies. The second call with the same addresses
records all of the step's launches as one graph, which later calls replay. What LAPACK computes is
computed on the host between launches, so that such a step is never recorded.
"""

from __future__ import annotations

import linecache
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from codegen import memory
from codegen.arena import stream_arena
from codegen.calls import Call
from codegen.cuda.runtime import GRAIN, Block, Memory, Runtime, runtime
from codegen.cuda.source import BLOCK, Kernel, emit_kernel
from codegen.nest import Buffer, Nest
from codegen.nests import Kernels, build_nests
from codegen.results import OLD, STATE, Results, check_donations, plan_results
from ir.dims import evaluate
from ir.graph import Graph
from ir.interpret import bind_symbols
from ir.passes import run_passes

Array: TypeAlias = npt.NDArray[Any]
Given: TypeAlias = "Memory | Array"
Region: TypeAlias = tuple[Block, int]
MOST_BLOCKS = 1024  # of a grid; each takes several points where there are more
SIMULATED = 8, 2  # threads of a block and blocks of a grid, where they are Python's threads
KEPT = 8  # bindings to sizes and addresses
NUMBER = 64  # bytes of an argument that are compared before they are sent again


@dataclass(frozen=True)
class Launch:
    """One kernel with everything that it is launched with."""

    function: Any
    blocks: int
    threads: int
    arguments: tuple[Any, ...]


@dataclass
class Binding:
    """Everything that depends on sizes and on where the state lies."""

    env: dict[str, int]
    plan: memory.Plan
    block: Block  # the arena of intermediates, arguments and results
    where: dict[Buffer, Region]
    work: list[Launch | Call]
    outputs: list[Region]
    shapes: list[tuple[int, ...]]
    kept: tuple[Block, ...]  # the state's, alive as long as they are named here
    seen: dict[int, bytes] = field(default_factory=dict)  # numbers as they were last sent
    runs: int = 0
    graph: Any = None


class CudaProgram:
    """One graph as CUDA kernels, in grids of at most ``blocks`` of ``block`` threads."""

    def __init__(
        self,
        graph: Graph,
        donated: Mapping[int, int] | None = None,
        block: int | None = None,
        blocks: int | None = None,
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
        self.kernels: Kernels = build_nests(plain, self.donated, ())
        self.sources = [emit_kernel(nest, block=block) for nest in self.kernels.nests]
        self._compiled = [compiled(kernel) for kernel in self.sources]
        kernels = self.kernels
        self._results: Results = plan_results(
            kernels.inputs, kernels.outputs, kernels.old, self.donated
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
            binding.graph = driver.record(lambda: self._run(binding))
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

    def _run(self, binding: Binding) -> None:
        """Everything between taking in and giving out."""
        for at, (word, source) in enumerate(self._results.starts):
            if word == OLD:
                self._copy(binding, self._input(binding, source), at)
        for one in binding.work:
            if isinstance(one, Launch):
                self.runtime.driver.launch(one.function, one.blocks, one.threads, one.arguments)
            else:
                self._call_out(binding, one)
        for at, source, into in self._results.copies:
            if into is None:
                self._copy(binding, binding.outputs[source], at)
            else:
                self._move(binding, binding.outputs[source], self._input(binding, into), at)

    def _input(self, binding: Binding, at: int) -> Region:
        return binding.where[self.kernels.inputs[at]]

    def _copy(self, binding: Binding, source: Region, at: int) -> None:
        self._move(binding, source, binding.outputs[at], at)

    def _move(self, binding: Binding, source: Region, target: Region, at: int) -> None:
        """Bytes of output ``at`` from one place to another."""
        size = _bytes(binding.shapes[at], self.kernels.outputs[at].dtype)
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
        size = _bytes(shape, dtype)
        made = Memory(self.runtime, shape, dtype, block=self.runtime.pool.take(size))
        self.runtime.driver.copy(made.on().raw, 0, source.raw, offset, size)
        return made

    # -- binding to sizes and addresses -------------------------------------------------------

    def _bound(self, inputs: Sequence[Given], resident: frozenset[int]) -> Binding:
        state = {at: inputs[at].on() for at in resident}  # type: ignore[union-attr]
        shapes = tuple(tuple(x.shape) for x in inputs)
        address = self.runtime.driver.address
        key = (shapes, tuple((at, address(block.raw)) for at, block in sorted(state.items())))
        binding = self._bindings.pop(key, None) or self._bind(shapes, state)
        self._bindings[key] = binding  # the latest is the last
        while len(self._bindings) > KEPT:
            del self._bindings[next(iter(self._bindings))]
        return binding

    def _bind(self, shapes: Sequence[tuple[int, ...]], state: Mapping[int, Block]) -> Binding:
        kernels = self.kernels
        env = bind_symbols([buffer.shape for buffer in kernels.inputs], shapes)
        plan = stream_arena(kernels, env, GRAIN)
        where: dict[Buffer, Region] = {
            kernels.inputs[at]: (block, 0) for at, block in state.items()
        }
        own, total = self._own_places(plan, where, env)
        block = self.runtime.pool.take(total)
        where |= {buffer: (block, offset) for buffer, offset in own.items()}
        sizes = [tuple(evaluate(s, env) for s in buffer.shape) for buffer in kernels.outputs]
        outputs, total = self._output_places(where, sizes)
        extra = self.runtime.pool.take(total)
        regions = [(extra, place) if isinstance(place, int) else place for place in outputs]
        where |= {kernels.outputs[at]: regions[at] for at in self._results.fresh}
        work = self._work(env, where)
        for one in work:
            if isinstance(one, Launch):
                self.runtime.driver.prepare(one.function, one.arguments)
        kept = tuple(state.values())
        return Binding(env, plan, block, where, work, regions, sizes, kept)

    def _own_places(
        self, plan: memory.Plan, where: Mapping[Buffer, Region], env: Mapping[str, int]
    ) -> tuple[dict[Buffer, int], int]:
        """Offsets of the intermediates and of the inputs that are copied, and the whole size."""
        own: dict[Buffer, int] = {}
        total = -(-plan.total // GRAIN) * GRAIN
        for buffer in self.kernels.inputs:
            if buffer not in where and buffer not in own:
                own[buffer] = total
                total += -(-_count(buffer, env) * buffer.dtype.itemsize // GRAIN) * GRAIN
        for buffer in self._intermediates():
            if buffer.name in plan.offsets:
                own.setdefault(buffer, plan.offsets[buffer.name])
        return own, total

    def _intermediates(self) -> list[Buffer]:
        kernels = self.kernels
        found = {buffer: None for nest in kernels.nests for buffer in nest.buffers}
        found |= {one: None for place in kernels.places.values() for one in place.touched}
        found |= {buffer: None for call in kernels.calls for buffer in call.buffers}
        outside = {*kernels.inputs, *kernels.outputs}
        return [buffer for buffer in found if buffer not in outside]

    def _output_places(
        self, where: Mapping[Buffer, Region], shapes: Sequence[tuple[int, ...]]
    ) -> tuple[list[int | Region], int]:
        """Where each output is before it is given out: in its input, or in memory of its own."""
        places: list[int | Region] = []
        total = 0
        for at, (word, source) in enumerate(self._results.starts):
            if word == STATE:
                places.append(where[self.kernels.inputs[source]])
                continue
            places.append(total)
            total += -(-_bytes(shapes[at], self.kernels.outputs[at].dtype) // GRAIN) * GRAIN
        return places, total

    def _work(self, env: Mapping[str, int], where: Mapping[Buffer, Region]) -> list[Launch | Call]:
        """Launches and calls of LAPACK, in order."""
        calls: dict[int, list[Call]] = {}
        for call in self.kernels.calls:
            calls.setdefault(call.before, []).append(call)
        found: list[Launch | Call] = []
        for kernel, turn in self._launches(env):
            found += calls.pop(kernel, [])
            launch = self._launch(kernel, turn, where, env)
            found += [launch] if launch is not None else []
        return [*found, *(call for rest in calls.values() for call in rest)]

    def _launches(self, env: Mapping[str, int]) -> list[tuple[int, int]]:
        """Every launch as (kernel, turn of its loop), in order."""
        found: list[tuple[int, int]] = []
        at = 0
        for loop in self.kernels.loops:
            found += [(k, 0) for k in range(at, loop.first)]
            turns = evaluate(loop.turns, env)
            found += [(k, turn) for turn in range(turns) for k in range(loop.first, loop.last)]
            at = loop.last
        return found + [(k, 0) for k in range(at, len(self.sources))]

    def _launch(
        self, at: int, turn: int, where: Mapping[Buffer, Region], env: Mapping[str, int]
    ) -> Launch | None:
        """None where there is nothing to compute."""
        kernel, nest = self.sources[at], self.kernels.nests[at]
        arrays = [
            self._array(kernel, which, turn, where, env) for which in range(len(kernel.buffers))
        ]
        blocks = grid_of(kernel, nest, env, self.blocks)
        if not blocks or any(array.size == 0 for array in arrays[-len(nest.roots) :]):
            return None
        sizes = [np.int64(env[symbol]) for symbol in kernel.symbols]
        return Launch(self._compiled[at], blocks, kernel.threads, (*arrays, *sizes))

    def _array(
        self,
        kernel: Kernel,
        which: int,
        turn: int,
        where: Mapping[Buffer, Region],
        env: Mapping[str, int],
    ) -> Any:
        """A buffer as an argument; a row of another one inside a loop."""
        buffer = kernel.buffers[which]
        place, owner, row = self.kernels.places.get(buffer), buffer, 0
        if place is not None:
            owner, row = place.at(turn, env)
        block, offset = where[owner]
        shape = _shape(kernel, which, env)
        offset += row * buffer.dtype.itemsize
        return self.runtime.driver.array(block.raw, offset, buffer.dtype, shape)


def grid_of(kernel: Kernel, nest: Nest, env: Mapping[str, int], most: int) -> int:
    """How many blocks a launch has; none where there are no points."""
    points = 1
    for axis in nest.axes:
        points *= evaluate(axis.extent, env)
    wanted = points if kernel.shared else -(-points // kernel.threads)
    return min(most, wanted)


@cache
def _module(source: str, name: str) -> Any:
    file = f"<tracefuse cuda {name} {abs(hash(source)):x}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[file] = (len(source), None, lines, file)
    module: dict[str, Any] = {"__name__": f"tracefuse_cuda_{name}"}
    exec(compile(source, file, "exec"), module)
    return module[name]


def compiled(kernel: Kernel) -> Any:
    """The kernel as Numba knows it; tracebacks show its source. Equal sources are one kernel."""
    return _module(kernel.source, kernel.name)


def _shape(kernel: Kernel, which: int, env: Mapping[str, int]) -> tuple[int, ...]:
    names = dict(zip(kernel.symbols, (env[s] for s in kernel.symbols), strict=True))
    return tuple(int(eval(text, {}, names)) for text in kernel.shapes[which])


def _count(buffer: Buffer, env: Mapping[str, int]) -> int:
    total = 1
    for size in buffer.shape:
        total *= evaluate(size, env)
    return total


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    total = np.dtype(dtype).itemsize
    for size in shape:
        total *= size
    return total
