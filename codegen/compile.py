"""A graph in, a program out: fuse, lower, schedule, emit, build or fetch from the cache."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from codegen import vector
from codegen.budget import within_budget
from codegen.cache import build_objects
from codegen.kernels import Kernels
from codegen.native import host, load_objects
from codegen.nests import build_nests
from codegen.portable import build_kernels
from codegen.program import Program, Report
from codegen.results import check_donations
from codegen.schedule import Schedule, schedule
from ir.dims import symbols
from ir.errors import UnsupportedError
from ir.graph import Graph
from ir.passes import run_passes


def compile_graph(
    graph: Graph,
    donated: Mapping[int, int] | None = None,
    batch_inputs: Collection[int] = (),
    name: str = "step",
    spelling: str = "vector",
    memory: int | None = None,
    precision: str = "default",
    simplified: bool = False,
) -> Program:
    """Compile ``graph`` for this CPU.

    ``donated`` maps an output to the input whose memory it takes over; ``batch_inputs`` are the
    inputs whose axis 0 runs over the batch; ``memory`` bytes are the most that intermediates may
    take (budget.py); with ``precision`` "exact" no convolution goes by Winograd's algorithm;
    ``simplified``: the passes have run. Raises ``UnsupportedError`` for an op or
    a spelling that has no lowering, ``MemoryBudgetError`` for a budget that cannot be kept.
    """
    started = time.perf_counter()
    donated = dict(donated or {})
    check_donations(graph, donated)
    graph = graph if simplified else run_passes(graph)
    kernels, plans = plan_kernels(graph, donated, batch_inputs, spelling, precision)
    repeated, tight = 0, memory is not None
    if memory is not None:
        vectors = spelling == "vector"
        (kernels, plans), repeated = within_budget(
            (kernels, plans),
            memory,
            donated,
            batch_inputs,
            vectors,
            lambda found: _scheduled(found, vectors),
        )
    dims = dim_slots(graph)
    if spelling == "numba":
        addresses, built = build_kernels(plans, dims)
        seconds = time.perf_counter() - started
        report = Report(
            seconds, built == 0, len(plans), len(set(addresses)), spelling, repeated, tight
        )
        return Program(kernels, plans, addresses, dims, donated, report)
    if spelling != "vector":
        raise UnsupportedError(f"no spelling called {spelling!r}; there are: vector, numba")
    code = vector.Module(plans, dims)
    blobs, hit = build_objects([name, code.key], code.texts)
    found = load_objects(blobs, sorted(set(code.names)))
    seconds, distinct = time.perf_counter() - started, len(set(code.names))
    report = Report(seconds, hit, len(plans), distinct, spelling, repeated, tight)
    addresses = [found[symbol] for symbol in code.names]
    return Program(kernels, plans, addresses, dims, donated, report)


def plan_kernels(
    graph: Graph,
    donated: Mapping[int, int],
    batch_inputs: Collection[int],
    spelling: str = "vector",
    precision: str = "default",
) -> tuple[Kernels, Sequence[Schedule]]:
    """The nests of an already simplified graph, each with its schedule."""
    vectors = spelling == "vector"
    kernels = build_nests(graph, donated, batch_inputs, vectors, vectors and precision != "exact")
    return kernels, _scheduled(kernels, vectors)


def _scheduled(kernels: Kernels, vectors: bool) -> list[Schedule]:
    target = host()
    registers = target.vector_registers * target.vector_bits // 512  # sixteen lanes of float32
    known: dict[int, Schedule] = {}
    found = []
    for nest in kernels.nests:
        alike = known.get(id(nest.first))
        if alike is None or alike.scatter is not None:  # a scatter mentions arrays
            alike = known[id(nest.first)] = schedule(nest, registers, vectors)
        found.append(replace(alike, nest=nest))
    return found


def dim_slots(graph: Graph) -> dict[str, int]:
    """The place of each symbol in the table of run-time sizes."""
    names = {n for node in graph.inputs for size in node.shape for n in symbols(size)}
    return {symbol: at for at, symbol in enumerate(sorted(names))}
