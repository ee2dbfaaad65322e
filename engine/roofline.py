"""A jitted step and arguments in, each of its kernels held against this machine's limits out.

The step runs on copies of its arguments and of all state that it reads or writes: networks,
optimizers, random state and gradients are as before. Calls, runs in one piece and runs taken apart
alternate, so that a disturbance meets all three.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from codegen import Program, get_num_threads
from codegen.machine import Peaks, peaks as measured_peaks
from codegen.program import Timings
from codegen.roofline import Roofline, Row, roofline_of
from engine import pytree
from engine.attributes import restore, snapshot
from engine.entry import Call, Entry, take_apart
from engine.errors import TraceError, message
from engine.fingerprint import roots_of
from engine.guards import captured_guards
from engine.jit import Step, jit
from engine.program import Bound
from engine.storage import Cell
from engine.tensor import Tensor

__all__ = ["RUNS", "Peaks", "Roofline", "Row", "prepare", "profile", "roofline"]

RUNS = 20
WARM = 2  # runs before these, not counted


def roofline(step: Callable[..., Any], *args: Any, runs: int = RUNS, **kwargs: Any) -> Roofline:
    """What each kernel of ``step(*args, **kwargs)`` does, takes, and could take on this machine.

    Nothing of the caller's changes. ``step`` may be a plain function of tensors. TraceError where
    it runs in the interpreter, which has no kernels.

    >>> from engine.roofline import roofline
    >>> for row in roofline(step, x, y).rows:
    ...     print(row.kernel, row.bound, f"{row.share:.0%}")
    """
    return profile(*prepare(step, args, kwargs), runs)


def prepare(
    step: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, Entry, Call]:
    """The step's name, the program that answers this call, compiled if need be, and the call."""
    jitted = step if isinstance(step, Step) else jit(step)
    with jitted._lock:
        call = take_apart(args, kwargs)
        saved = snapshot(roots_of(captured_guards(jitted.function)))
        try:
            return jitted.name, jitted._find(call), call
        finally:
            restore(saved)  # a trace leaves its own tensors in a network's attributes


def profile(
    name: str, entry: Entry, call: Call, runs: int = RUNS, peaks: Peaks | None = None
) -> Roofline:
    """The same for a program that exists, and a call that it answers; ``peaks`` are measured or
    looked up where they are not given."""
    program = entry.bound.program
    if not isinstance(program, Program):
        raise TraceError(
            message(
                None,
                f"{name} has no kernels on the CPU: it runs in the interpreter, or on a GPU",
                'leave backend="interpreter" out; of a GPU, tracefuse compile --target cuda tells',
            )
        )
    limits = peaks or measured_peaks(get_num_threads())
    bound = _apart(entry.bound)
    tensors = [None if t is None else Tensor(Cell(t._cell.array.copy())) for t in call.tensors]
    args, kwargs = pytree.unflatten(call.structure, call.leaves)
    timings, steps = Timings(), list[float]()
    for at in range(-WARM, runs):
        if at == 0:
            timings, steps = Timings(), []
        started = time.perf_counter()
        given = take_apart(args, kwargs)
        if entry.fits(given.shapes):
            entry.broken(given)
        bound.run(given.leaves, tensors)
        steps.append(time.perf_counter() - started)
        _timed(program, timings, partial(bound.run, given.leaves, tensors))
    return roofline_of(name, program, timings, steps, limits)


def _timed(program: Program, timings: Timings, run: Callable[[], Any]) -> None:
    """A run apart and one in one piece."""
    program.timings = timings
    try:
        run()
        run()
    finally:
        program.timings = None


def _apart(bound: Bound) -> Bound:
    """The same program with state of its own."""
    draft = bound.draft
    cells = {
        source.cell: Cell(source.cell.array.copy())
        for source in draft.sources
        if source.cell is not None and source.cell.array is not None
    }
    sources = [
        source if source.cell is None else replace(source, cell=cells.get(source.cell, source.cell))
        for source in draft.sources
    ]
    written = [cells.get(cell, cell) for cell in draft.written]
    own = replace(draft, sources=sources, written=written, grads=[], kept=[])
    return Bound(own, bound.program)
