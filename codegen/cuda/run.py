"""Kernels and arrays in, one run on a CUDA device (or in Numba's simulator) out.

The plan is ``plan.py``'s, every buffer row-major. What LAPACK computes is computed on the host
between launches.
"""

from __future__ import annotations

import importlib
import linecache
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.cuda.plan import plan_cuda
from codegen.cuda.source import MOST_BLOCKS, Kernel, emit_kernel
from codegen.cuda.ways import BLOCK
from codegen.kernels import Kernels
from codegen.nest import Buffer
from ir.dims import evaluate
from ir.graph import Graph
from ir.interpret import bind_symbols
from ir.passes import run_passes

Array = npt.NDArray[Any]


class CudaProgram:
    """One graph as CUDA kernels; ``block``, ``blocks``, ``warp`` are small in the simulator."""

    def __init__(
        self,
        graph: Graph,
        donated: Mapping[int, int] | None = None,
        block: int = BLOCK,
        blocks: int = MOST_BLOCKS,
        warp: int = 0,
        precision: str = "float32",
    ) -> None:
        self.donated, self.block, self.blocks = dict(donated or {}), block, blocks
        self.kernels: Kernels = plan_cuda(run_passes(graph), self.donated)
        self.sources = [
            emit_kernel(nest, block=block, warp=warp, precision=precision)
            for nest in self.kernels.nests
        ]
        self._cuda = importlib.import_module("numba.cuda")
        self._compiled = [compiled(kernel) for kernel in self.sources]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for ``inputs``; donated outputs are their input arrays, overwritten."""
        env = bind_symbols([b.shape for b in self.kernels.inputs], [x.shape for x in inputs])
        held = {
            buffer: self._cuda.to_device(np.ascontiguousarray(x).reshape(-1))
            for buffer, x in zip(self.kernels.inputs, inputs, strict=True)
        }
        calls = {call.before: [] for call in self.kernels.calls}  # type: ignore[var-annotated]
        for call in self.kernels.calls:
            calls[call.before].append(call)
        for kernel, turn in self._launches(env):
            for call in calls.pop(kernel, ()):
                self._call_out(call, held, env)
            self._launch(kernel, turn, held, env)
        for rest in calls.values():
            for call in rest:
                self._call_out(call, held, env)
        for source, target in self.kernels.copies:
            held[target] = held[source]
        return self._results(inputs, held, env)

    def _launches(self, env: Mapping[str, int]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = 0
        for loop in self.kernels.loops:
            found += [(k, 0) for k in range(at, loop.first)]
            turns = evaluate(loop.turns, env)
            found += [(k, turn) for turn in range(turns) for k in range(loop.first, loop.last)]
            at = loop.last
        return found + [(k, 0) for k in range(at, len(self.sources))]

    def _launch(self, at: int, turn: int, held: dict[Buffer, Any], env: Mapping[str, int]) -> None:
        kernel = self.sources[at]
        nest = self.kernels.nests[at]
        arrays = [
            self._memory(buffer, turn, held, env).reshape(_shape(kernel, which, env))
            for which, buffer in enumerate(kernel.buffers)
        ]
        points = 1
        for axis in nest.axes:
            points *= evaluate(axis.extent, env)
        if points == 0 or any(array.size == 0 for array in arrays[-len(nest.roots) :]):
            return
        blocks = kernel.blocks(env, self.blocks)
        sizes = [np.int64(env[symbol]) for symbol in kernel.symbols]
        self._compiled[at][blocks, kernel.threads](*arrays, *sizes)

    def _memory(
        self, buffer: Buffer, turn: int, held: dict[Buffer, Any], env: Mapping[str, int]
    ) -> Any:
        """The device memory of a buffer, flat; a row of another one inside a loop."""
        place = self.kernels.places.get(buffer)
        if place is None:
            return self._whole(buffer, held, env)
        owner, offset = place.at(turn, env)
        size = _count(buffer, env)
        return self._whole(owner, held, env)[offset : offset + size]

    def _whole(self, buffer: Buffer, held: dict[Buffer, Any], env: Mapping[str, int]) -> Any:
        if buffer not in held:
            held[buffer] = self._cuda.device_array(max(1, _count(buffer, env)), buffer.dtype)
        return held[buffer]

    def _call_out(self, call: Any, held: dict[Buffer, Any], env: Mapping[str, int]) -> None:
        arrays = {b: self._host(b, held, env) for b in call.buffers}
        call.run(arrays.__getitem__, env)
        result = arrays[call.result]
        held[call.result] = self._cuda.to_device(np.ascontiguousarray(result).reshape(-1))

    def _host(self, buffer: Buffer, held: dict[Buffer, Any], env: Mapping[str, int]) -> Array:
        shape = tuple(evaluate(size, env) for size in buffer.shape)
        flat = self._whole(buffer, held, env).copy_to_host()
        return np.array(flat[: _count(buffer, env)]).reshape(shape)

    def _results(
        self, inputs: Sequence[Array], held: dict[Buffer, Any], env: Mapping[str, int]
    ) -> list[Array]:
        found = []
        for at, (buffer, old) in enumerate(
            zip(self.kernels.outputs, self.kernels.old, strict=True)
        ):
            values = inputs[old].copy() if old is not None else self._host(buffer, held, env)
            found.append((at, values))
        results: list[Array] = [values for _, values in found]
        for at, into in self.donated.items():
            np.copyto(inputs[into], results[at])
            results[at] = inputs[into]
        return results


def compiled(kernel: Kernel) -> Any:
    """The kernel as Numba knows it; tracebacks show its source."""
    file = f"<tracefuse cuda {kernel.name} {abs(hash(kernel.source)):x}>"
    lines = kernel.source.splitlines(keepends=True)
    linecache.cache[file] = (len(kernel.source), None, lines, file)
    module: dict[str, Any] = {"__name__": f"tracefuse_cuda_{kernel.name}"}
    exec(compile(kernel.source, file, "exec"), module)
    return module[kernel.name]


def _shape(kernel: Kernel, which: int, env: Mapping[str, int]) -> tuple[int, ...]:
    names = dict(zip(kernel.symbols, (env[s] for s in kernel.symbols), strict=True))
    return tuple(int(eval(text, {}, names)) for text in kernel.shapes[which])


def _count(buffer: Buffer, env: Mapping[str, int]) -> int:
    total = 1
    for size in buffer.shape:
        total *= evaluate(size, env)
    return total
