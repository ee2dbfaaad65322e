"""A Python step in, compiled programs behind the same call out: ``@engine.jit``.

The first call runs the step's code once over nodes (``engine.trace``), compiles the graph, and
runs the program; later calls only gather arrays and run. A program serves every call with the
same structure, dtypes, sizes and guards; the second set of sizes makes those that differ symbolic,
and that program then serves every further size.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from engine import pytree
from engine.attributes import Snapshot, restore, settle, snapshot
from engine.backend import BACKENDS, build
from engine.device_program import DeviceBound, OnHost
from engine.entry import Call, Entry, Family, Shapes, generalise, take_apart
from engine.errors import EngineError, TraceError, message
from engine.fingerprint import Fingerprint, roots_of
from engine.guards import captured_guards, module_epoch
from engine.locate import user_location
from engine.modes import modes
from engine.naming import input_names
from engine.observe import Ran, observers
from engine.program import Bound, Draft, close
from engine.sizes import bytes_of
from engine.storage import CPU
from engine.trace import Trace
from engine.uncollected import uncollected
from ir.errors import MemoryBudgetError, UnsupportedError
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import TensorType

LIMIT = 64
PRECISIONS = ("default", "exact", "tf32", "bf16")
_steps: weakref.WeakSet[Step] = weakref.WeakSet()


class Step:
    """A jitted function; see ``jit``."""

    def __init__(
        self,
        function: Callable[..., Any],
        backend: str,
        name: str | None,
        spelling: str,
        keep_grads: bool,
        memory: int | str | None,
        precision: str,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
        if memory is not None and backend != "codegen":
            raise ValueError(f"memory= plans native kernels; backend {backend!r} has none")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        self.memory = None if memory is None else bytes_of(memory)
        self.precision = precision
        self.function, self.backend, self.spelling = function, backend, spelling
        self.name = name or str(getattr(function, "__name__", "step"))
        self.keep_grads = keep_grads
        self._families: dict[Any, Family] = {}
        self._lock = threading.RLock()
        self._alert: Callable[[], None] | None = None  # wakes who will run the program
        functools.update_wrapper(self, function, updated=())
        _steps.add(self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A jitted method: one step for each instance."""
        if instance is None:
            return self
        bound = Step(
            self.function.__get__(instance, owner),
            self.backend,
            self.name,
            self.spelling,
            self.keep_grads,
            self.memory,
            self.precision,
        )
        key = next((k for k, v in vars(type(instance)).items() if v is self), self.name)
        instance.__dict__[key] = bound
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.trace is not None:
            return self.function(*args, **kwargs)
        with self._lock:
            if self._alert is not None:
                self._alert()
            call = take_apart(args, kwargs)
            if observers:
                return self._observed(call)
            entry = self._find(call)
            entry.runs += 1
            return entry.bound.run(call.leaves, call.tensors)

    def _observed(self, call: Call) -> Any:
        """The same call, timed and told to ``engine.observe``'s observers."""
        started, known = time.perf_counter(), len(self.programs)
        entry = self._find(call)
        entry.runs += 1
        result = entry.bound.run(call.leaves, call.tensors)
        seconds, built = time.perf_counter() - started, len(self.programs) > known
        rows = next((shape[0] for shape in call.shapes if shape), 0)
        ran = Ran(self.name, seconds, result, rows, entry, built, call)
        for observer in tuple(observers):
            observer(ran)
        return result

    @property
    def programs(self) -> list[Entry]:
        """Every program that exists, oldest first."""
        found = [entry for family in self._families.values() for entry in family.entries]
        return sorted(found, key=lambda entry: entry.number)

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that a call with these arguments runs, after the passes; nothing is run."""
        return run_passes(self.draft(*args, **kwargs).graph)

    def draft(self, *args: Any, **kwargs: Any) -> Draft:
        """What a call with these arguments traces, before the passes; nothing is run."""
        if modes.trace is not None:
            raise TraceError(message(user_location(), "step.graph() inside a jitted step"))
        with self._lock:
            call = take_apart(args, kwargs)
            saved = snapshot(roots_of(captured_guards(self.function)))
            try:
                return self._trace(call, call.shapes, saved)[1]
            finally:
                restore(saved)

    def explain(self) -> str:
        """Why each program exists, and how often it ran."""
        lines = [f"{self.name}: {len(self.programs)} program(s), backend {self.backend}"]
        for at, entry in enumerate(self.programs):
            trace, compiled = entry.seconds
            sizes = ", ".join(str(list(shape)) for shape in entry.shapes) or "no tensors"
            lines.append(f"  {at}: {entry.reason}")
            lines.append(
                f"     arguments {sizes}; {entry.runs} run(s); traced in {trace * 1e3:.0f} ms, "
                f"built in {compiled * 1e3:.0f} ms"
            )
            lines += [f"     {line}" for line in _about(entry.bound.program)]
        for family in self._families.values():
            if family.static_only:
                lines.append(f"  one program for each size: {family.static_only}")
        return "\n".join(lines)

    def _find(self, call: Call) -> Entry:
        family = self._families.get(call.family)
        if family is not None:
            for entry in family.entries:
                if entry.fits(call.shapes) and not entry.broken(call):
                    return entry
        return self._add(call, family)

    def _add(self, call: Call, family: Family | None) -> Entry:
        reason = self._reason(call, family)
        if len(self.programs) >= LIMIT:
            raise TraceError(
                message(
                    user_location(),
                    f"{self.name} was traced {LIMIT} times; the last reason: {reason}",
                    "pass what changes as a tensor or a float argument; see step.explain()",
                )
            )
        known = family or Family()
        if self.memory is not None:
            known.static_only = "memory= is planned for known sizes"
        entry = None
        if known.seen and call.shapes not in known.seen and not known.static_only:
            shapes = generalise([*known.seen, call.shapes])
            try:
                entry = self._build(call, shapes, reason)
            except (EngineError, UnsupportedError, ValueError, TypeError, IndexError) as error:
                # Sizes that cannot stay open are no fault of the user's: his own faults come
                # back from the static trace below.
                known.static_only = (str(error) or type(error).__name__).splitlines()[-1]
        if entry is None:
            entry = self._build(call, call.shapes, reason)
        # A program for exactly these sizes is tried before one for all sizes: it is faster.
        known.entries.insert(len(known.entries) if entry.symbolic else 0, entry)
        known.seen.append(call.shapes)
        self._families[call.family] = known
        return entry

    def _reason(self, call: Call, family: Family | None) -> str:
        if family is None:
            return "first call" if not self._families else "other structure, dtypes or constants"
        for entry in family.entries:
            if entry.fits(call.shapes):
                return entry.broken(call)
        before, now = family.seen[-1], call.shapes
        parts = [
            f"axis {axis} of tensor argument {at} changed {a} -> {b}"
            for at, (old, new) in enumerate(zip(before, now, strict=True))
            for axis, (a, b) in enumerate(zip(old, new, strict=True))
            if a != b
        ]
        return "; ".join(parts)

    def _build(self, call: Call, shapes: Shapes, reason: str) -> Entry:
        """Trace and compile; if either fails, attributes of networks are as before."""
        with uncollected():
            return self._built(call, shapes, reason)

    def _built(self, call: Call, shapes: Shapes, reason: str) -> Entry:
        started = time.perf_counter()
        guards = captured_guards(self.function)
        owners = roots_of(guards)
        seen, epoch, saved = Fingerprint(owners), module_epoch(), snapshot(owners)
        try:
            trace, draft = self._trace(call, shapes, saved)
            draft.graph = run_passes(draft.graph)
            traced = time.perf_counter()
            program = build(
                draft.graph,
                draft.donated,
                batch_inputs(draft),
                name=self.name,
                spelling=self.spelling,
                backend=self.backend,
                memory=self.memory,
                precision=self.precision,
                device=draft.device,
            )
            bound = bind(draft, program)
            self._alert = getattr(program, "alert", None)
        except MemoryBudgetError as error:
            restore(saved)
            error.args = (message(user_location(), f"{self.name}: {error.rule}", error.hint),)
            raise
        except BaseException:
            restore(saved)
            raise
        seen.watch(trace.touched)
        seen.capture(trace.kept, trace.origin)
        state = {id(c) for c, s in trace.origin.items() if s.argument is None}
        return Entry(
            bound=bound,
            shapes=shapes,
            reason=reason,
            guards=guards,
            numbers=[(g, g.source.argument) for g in trace.scalar_guards.values()],
            grads=trace.grad_conditions(),
            fingerprint=seen,
            epoch=epoch,
            seconds=(traced - started, time.perf_counter() - traced),
            captured=state - {id(t._cell) for t in call.tensors if t is not None},
            number=len(self.programs),
        )

    def _trace(self, call: Call, shapes: Shapes, saved: Snapshot) -> tuple[Trace, Draft]:
        """The step's code over nodes; whatever happens, the thread's modes are as before."""
        trace, grad_mode = Trace(), modes.grad
        leaves = self._traced_leaves(trace, call, shapes)
        modes.trace = trace
        try:
            args, kwargs = pytree.unflatten(call.structure, leaves)
            result = self.function(*args, **kwargs)
            kept = settle(saved, trace)
            names = input_names(trace, self.function, call.structure)
            return trace, close(trace, result, call.tensors, self.keep_grads, kept, names)
        finally:
            modes.trace, modes.grad = None, grad_mode

    def _traced_leaves(self, trace: Trace, call: Call, shapes: Shapes) -> list[Any]:
        leaves: list[Any] = []
        met: set[Any] = set()
        for at, (leaf, tensor) in enumerate(zip(call.leaves, call.tensors, strict=True)):
            if tensor is not None:
                if tensor._cell not in met:
                    dtype = tensor._cell.type.dtype
                    trace.add_argument(tensor, at, TensorType(dtype, shapes[at]))
                met.add(tensor._cell)
                leaves.append(tensor)
            elif type(leaf) is float:
                leaves.append(trace.add_number(at, leaf))
            else:
                leaves.append(leaf)
        return leaves


def bind(draft: Draft, program: Any) -> Bound:
    """The program with its state, where the trace found it."""
    if draft.device == CPU:
        return Bound(draft, program)
    return DeviceBound(draft, program if hasattr(program, "start") else OnHost(program))


def _about(program: Any) -> Iterator[str]:
    """What a program says of itself."""
    if hasattr(program, "explain"):
        yield program.explain()
    arena = getattr(program, "arena_bytes", 0)
    if arena:
        twice = getattr(getattr(program, "report", None), "repeated", 0)
        more = f", {twice} values computed twice" if twice else ""
        yield f"intermediates take {arena / 2**20:.2f} MiB{more}"


def batch_inputs(draft: Draft) -> list[int]:
    """The inputs whose axis 0 is the batch: arguments that agree with the first one's size."""
    data = [
        (i, source.node.shape[0])
        for i, source in enumerate(draft.sources)
        if source.argument is not None and source.cell is not None and source.node.shape
    ]
    return [i for i, size in data if size == data[0][1]]


def jit(function: Any = None, **options: Any) -> Any:
    """Compile a step: ``@engine.jit``, ``@engine.jit(backend="interpreter")`` or ``jit(fn)``.

    Arguments may be tensors, arrays, numbers, strings and containers of them. Floats are run-time
    inputs: another learning rate never compiles again. Every outside tensor that the step reads
    (parameters, buffers, optimizer slots, random state) is read at each call, and each one it
    writes is written in place. A step whose tensors are on a GPU runs there. If the step raises,
    state is as before. Options: ``backend``
    ("codegen" or "interpreter"), ``name``, ``spelling`` ("vector" or "numba"), ``keep_grads``:
    by default a gradient that the step itself applies (the parameter is written after
    ``backward``) is not stored, and ``p.grad`` is None afterwards; and ``memory`` (bytes, or
    "300 MB"): the most that intermediate values may take. What does not fit is let go of and
    computed again in the backward pass; where nothing fits, ``MemoryBudgetError`` says so before
    anything has run, with the smallest budget that would do. ``precision="exact"`` computes every
    convolution as a direct sum; by default float32 ones with small kernels go by Winograd's
    algorithm, which rounds more (some 3e-6 of the largest result instead of 3e-7). On a GPU "tf32"
    and "bf16" let tensor cores compute products, from 10 and 7 bits of each factor's mantissa, with
    sums in float32 (PyTorch's ``set_float32_matmul_precision("high")`` and ``("medium")``).

    >>> @engine.jit
    ... def step(x, y):
    ...     opt.zero_grad()
    ...     loss = F.cross_entropy(model(x), y)
    ...     loss.backward()
    ...     opt.step()
    ...     return loss
    """
    defaults = {"backend": "codegen", "name": None, "spelling": "vector", "keep_grads": False}
    defaults |= {"memory": None, "precision": "default"}
    unknown = set(options) - set(defaults)
    if unknown:
        raise TypeError(f"jit() has no option {', '.join(sorted(unknown))}")
    if function is None:
        return functools.partial(jit, **options)
    return Step(function, **{**defaults, **options})


def _in_child() -> None:
    """A forked child has none of the threads that may have been in a step."""
    for step in list(_steps):
        step._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
