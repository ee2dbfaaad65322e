"""A program's kernels, sizes and the state's addresses in, launches with their arguments out.

Intermediates share one arena; each argument and each result has a place of its own beside it, so
that every address stays what it was at the last call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from codegen import memory
from codegen.arena import stream_arena
from codegen.calls import Call
from codegen.cuda.halves import memory_dtype
from codegen.cuda.runtime import GRAIN, Block, Runtime
from codegen.cuda.source import Kernel
from codegen.cuda.streams import Touch
from codegen.kernels import Kernels
from codegen.nest import Buffer
from codegen.results import STATE, Results
from ir.dims import evaluate
from ir.interpret import bind_symbols

Region: TypeAlias = tuple[Block, int]


@dataclass(frozen=True)
class Launch:
    """One kernel, by its number, with everything that it is launched with."""

    kernel: int
    blocks: int
    threads: int
    arguments: tuple[Any, ...]
    touches: tuple[Touch, ...]


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


class Binder:
    """What does not depend on sizes."""

    def __init__(
        self,
        kernels: Kernels,
        sources: Sequence[Kernel],
        functions: Sequence[Any],
        results: Results,
        runtime: Runtime,
        blocks: int,
    ) -> None:
        self.kernels, self.sources, self.results = kernels, sources, results
        self._functions, self.runtime, self.blocks = functions, runtime, blocks

    def bind(self, shapes: Sequence[tuple[int, ...]], state: Mapping[int, Block]) -> Binding:
        """Everything in its place; every kernel is compiled and loaded."""
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
        where |= {kernels.outputs[at]: regions[at] for at in self.results.fresh}
        work = self._work(env, where)
        for one in work:
            if isinstance(one, Launch):
                self.runtime.driver.prepare(self._functions[one.kernel], one.arguments)
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
        for at, (word, source) in enumerate(self.results.starts):
            if word == STATE:
                places.append(where[self.kernels.inputs[source]])
                continue
            places.append(total)
            total += -(-size_of(shapes[at], self.kernels.outputs[at].dtype) // GRAIN) * GRAIN
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
        written = {root.buffer for root in nest.roots}
        arrays, touches = list[Any](), list[Touch]()
        for which, buffer in enumerate(kernel.buffers):
            raw, offset, shape = self._place(kernel, which, turn, where, env)
            dtype = memory_dtype(buffer.dtype)
            arrays.append(self.runtime.driver.array(raw, offset, dtype, shape))
            start = self.runtime.driver.address(raw) + offset
            touches.append(Touch(start, start + size_of(shape, dtype), buffer in written))
        blocks = kernel.blocks(env, self.blocks)
        if not blocks or any(array.size == 0 for array in arrays[-len(nest.roots) :]):
            return None
        sizes = [np.int64(env[symbol]) for symbol in kernel.symbols]
        return Launch(at, blocks, kernel.threads, (*arrays, *sizes), tuple(touches))

    def _place(
        self,
        kernel: Kernel,
        which: int,
        turn: int,
        where: Mapping[Buffer, Region],
        env: Mapping[str, int],
    ) -> tuple[Any, int, tuple[int, ...]]:
        """Where a buffer's argument lies, and its shape; a row of another one inside a loop."""
        buffer = kernel.buffers[which]
        place, owner, row = self.kernels.places.get(buffer), buffer, 0
        if place is not None:
            owner, row = place.at(turn, env)
        block, offset = where[owner]
        shape = _shape(kernel, which, env)
        return block.raw, offset + row * buffer.dtype.itemsize, shape


def _shape(kernel: Kernel, which: int, env: Mapping[str, int]) -> tuple[int, ...]:
    names = dict(zip(kernel.symbols, (env[s] for s in kernel.symbols), strict=True))
    return tuple(int(eval(text, {}, names)) for text in kernel.shapes[which])


def _count(buffer: Buffer, env: Mapping[str, int]) -> int:
    total = 1
    for size in buffer.shape:
        total *= evaluate(size, env)
    return total


def size_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    total = np.dtype(dtype).itemsize
    for size in shape:
        total *= size
    return total
