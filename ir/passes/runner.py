"""Graph and passes in, a graph that they leave unchanged out: the only place that runs passes.

It is also the only place that verifies between passes (with ``ENGINE_DEBUG=1``) and that shows
each pass's result to whoever asks (``on_pass``: dumps, timings).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ir.graph import Graph
from ir.passes.canonicalise import canonicalise
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.expand import expand
from ir.passes.fold import fold
from ir.passes.loops import loops
from ir.passes.simplify import simplify
from ir.verify import verify

Pass: TypeAlias = Callable[[Graph], Graph]

PIPELINE: tuple[Pass, ...] = (
    expand,  # first: all other passes see ops that kernels know
    cse,  # a trace repeats itself: the passes after this one visit fewer nodes
    canonicalise,  # merged movements bring an op and its operands' broadcasts together
    fold,  # ops before their broadcasts, so that what is left between them is scalar
    simplify,  # sees the constants that fold made, wherever they stand
    dce,  # over what the others left to be sliced
    loops,  # last: what a loop need not hand out shows when the slices have settled
)

# Each round works on what the one before it made; a training step settles in two or three.
_ROUNDS = 6


def run_passes(
    graph: Graph,
    passes: Sequence[Pass] = PIPELINE,
    on_pass: Callable[[str, Graph], None] | None = None,
) -> Graph:
    """``graph`` after ``passes``, again and again until none changes it (at most six times).

    ``on_pass(name, graph)`` is called after each pass that changed the graph. Inputs, outputs
    and their names keep their order, unused inputs included.
    """
    checked = os.environ.get("ENGINE_DEBUG", "") == "1"
    unchanged = 0
    for step in [*passes] * _ROUNDS:
        before, graph = graph, step(graph)
        unchanged = unchanged + 1 if graph is before else 0
        if unchanged == 0 and checked:
            verify(graph, f"after {step.__name__}")
        if unchanged == 0 and on_pass is not None:
            on_pass(step.__name__, graph)
        if unchanged == len(passes):
            break
    graph.rest.clear()  # it keeps every node alive that there was on the way
    return graph
