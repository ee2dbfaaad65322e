"""A graph in, something that runs it out: native kernels, or the interpreter.

The compiler is imported when the first program is built, not with the engine: it costs up to half
a second, which a program that only loads a checkpoint should not pay.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ir.errors import UnsupportedError
from ir.graph import Graph
from ir.interpret import interpret
from ir.table import Array

BACKENDS = ("codegen", "interpreter")


class Runnable(Protocol):
    """What a backend gives: donated outputs are their inputs' arrays, written in place."""

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for ``inputs``."""
        ...


class Interpreted:
    """The graph, evaluated op by op with NumPy: the specification, slowly."""

    def __init__(self, graph: Graph, donated: Mapping[int, int]) -> None:
        self.graph, self.donated = graph, dict(donated)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for ``inputs``; nothing is written before everything is computed."""
        found = interpret(self.graph, inputs)
        outputs = [np.array(x, order="C") for x in found]
        for at, source in self.donated.items():
            np.copyto(inputs[source], outputs[at])
            outputs[at] = inputs[source]
        return outputs


def build(
    graph: Graph,
    donated: Mapping[int, int],
    batch_inputs: Collection[int] = (),
    *,
    name: str = "step",
    spelling: str = "vector",
    backend: str = "codegen",
    memory: int | None = None,
    precision: str = "default",
    device: str = "cpu",
) -> Any:
    """A program for a ``graph`` that the passes have simplified.

    ``backend`` is "codegen" (native kernels) or "interpreter"; ``memory``: the most bytes that the
    intermediates of native kernels may take; ``precision`` as for ``engine.jit``. A program for the
    CPU is a ``Runnable``; one for another ``device`` is started with memories
    (``codegen.cuda.run.CudaProgram``).
    """
    if backend == "interpreter":
        return Interpreted(graph, donated)
    if backend != "codegen":
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    if device != "cpu":
        return _for_device(graph, donated, memory, precision)
    program: Runnable = _codegen().compile_graph(
        graph,
        donated=donated,
        batch_inputs=batch_inputs,
        name=name,
        spelling=spelling,
        memory=memory,
        precision=precision,
        simplified=True,
    )
    return program


def _for_device(
    graph: Graph, donated: Mapping[int, int], memory: int | None, precision: str
) -> Any:
    if memory is not None:
        raise UnsupportedError("memory= plans native kernels of the CPU; a GPU's have no budget")
    run = importlib.import_module("codegen.cuda.run")
    return run.CudaProgram(graph, donated, precision=precision, simplified=True)


def get_num_threads() -> int:
    """How many threads run a compiled step."""
    threads: int = _codegen().get_num_threads()
    return threads


def set_num_threads(count: int) -> None:
    """Run compiled steps on ``count`` threads; results do not depend on it."""
    _codegen().set_num_threads(count)


def _codegen() -> Any:
    return importlib.import_module("codegen")
