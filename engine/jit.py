"""A Python step in, compiled programs behind the same call out: ``@engine.jit``.

The first call runs the step's code once over nodes (``engine.trace``), compiles the graph, and
runs the program; later calls only gather arrays and run. A program serves every call with the
same structure, dtypes, sizes and guards; the second set of sizes makes those that differ symbolic,
and that program then serves every further size.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine import pytree
from engine.backend import BACKENDS, build
from engine.errors import EngineError, TraceError, message
from engine.fingerprint import Fingerprint, restore_attributes, roots_of, snapshot_attributes
from engine.guards import Guard, captured_guards, module_epoch
from engine.locate import user_location
from engine.modes import modes
from engine.program import Bound, close
from engine.tensor import Tensor
from engine.trace import ScalarGuard, Trace
from ir.dims import Size, symbol
from ir.errors import OpError
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import TensorType, dtype_of

Shapes = tuple[tuple[Size, ...], ...]
LIMIT = 64


@dataclass
class Call:
    """One call, taken apart."""

    leaves: list[Any]
    structure: Any
    tensors: list[Any]
    family: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], ...]


@dataclass
class Entry:
    """A program and the conditions under which it may answer a call."""

    bound: Bound
    shapes: Shapes
    reason: str
    guards: list[Guard]
    numbers: list[tuple[ScalarGuard, int | None]]
    grads: list[tuple[Any, Any, bool]]
    fingerprint: Fingerprint
    epoch: int
    seconds: tuple[float, float]
    captured: set[int] = field(default_factory=set)
    runs: int = 0

    @property
    def symbolic(self) -> bool:
        """Whether some size may change between calls."""
        return any(not isinstance(size, int) for shape in self.shapes for size in shape)

    def fits(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        """Whether the sizes are the program's, equal symbols standing for equal sizes."""
        if self.shapes == shapes:
            return True
        known: dict[Any, int] = {}
        for shape, actual in zip(self.shapes, shapes, strict=True):
            for size, value in zip(shape, actual, strict=True):
                if isinstance(size, int):
                    if size != value:
                        return False
                elif known.setdefault(size, value) != value:
                    return False
        return True

    def broken(self, call: Call) -> str:
        """Why the program may not answer ``call``; empty where it may."""
        for guard in self.guards:
            if not guard.holds():
                return f"{guard.name} changed from {guard.seen!r}"[:120]
        for number, argument in self.numbers:
            getter = number.source.number
            now = call.leaves[argument] if getter is None else getter()  # type: ignore[index]
            if now != number.seen:
                return f"a number that the step's code asked for changed: {number.seen} -> {now}"
        for tensor, seen, by_identity in self.grads:
            if tensor._grad is not seen if by_identity else (tensor._grad is None) != (seen is None):
                return "a gradient is there that was not, or the other way round"
        if self.captured and any(
            t is not None and id(t._cell) in self.captured for t in call.tensors
        ):
            return "an argument is also state that the step captured"
        if self.epoch != module_epoch():
            changed = self.fingerprint.changed()
            if changed:
                return changed
            self.epoch = module_epoch()
        return ""


@dataclass
class Family:
    """Calls that differ in sizes only."""

    entries: list[Entry] = field(default_factory=list)
    seen: list[tuple[tuple[int, ...], ...]] = field(default_factory=list)
    static_only: str = ""


class Step:
    """A jitted function; see ``jit``."""

    def __init__(
        self,
        function: Callable[..., Any],
        backend: str,
        name: str | None,
        spelling: str,
        keep_grads: bool,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
        self.function, self.backend, self.spelling = function, backend, spelling
        self.name = name or getattr(function, "__name__", "step")
        self.keep_grads = keep_grads
        self._families: dict[Any, Family] = {}
        self._lock = threading.RLock()
        functools.update_wrapper(self, function, updated=())

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
        )
        key = next((k for k, v in vars(type(instance)).items() if v is self), self.name)
        instance.__dict__[key] = bound
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.trace is not None:
            return self.function(*args, **kwargs)
        with self._lock:
            call = take_apart(args, kwargs)
            entry = self._find(call)
            entry.runs += 1
            return entry.bound.run(call.leaves, call.tensors)

    @property
    def programs(self) -> list[Entry]:
        """Every program that exists, oldest first."""
        return [entry for family in self._families.values() for entry in family.entries]

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that a call with these arguments runs, after the passes; nothing is run."""
        if modes.trace is not None:
            raise TraceError(message(user_location(), "step.graph() inside a jitted step"))
        with self._lock:
            call = take_apart(args, kwargs)
            trace, result = self._run_traced(call, call.shapes)
            return run_passes(self._close(trace, result, call).graph)

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
        if len(self.programs) >= LIMIT:
            raise TraceError(
                message(
                    user_location(),
                    f"{self.name} was traced {LIMIT} times; the last reason: "
                    f"{self.programs[-1].reason}",
                    "pass what changes as a tensor or a float argument; see step.explain()",
                )
            )
        reason = self._reason(call, family)
        known = family or Family()
        entry = None
        if known.seen and call.shapes not in known.seen and not known.static_only:
            shapes = generalise([*known.seen, call.shapes])
            try:
                entry = self._build(call, shapes, reason)
            except (OpError, EngineError, ValueError, TypeError, IndexError) as error:
                # Sizes that cannot stay open are no fault of the user's: his own faults come
                # back from the static trace below.
                known.static_only = str(error).splitlines()[-1]
        if entry is None:
            entry = self._build(call, call.shapes, reason)
        known.entries.insert(0, entry)
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
        started = time.perf_counter()
        guards = captured_guards(self.function)
        trace, result = self._run_traced(call, shapes)
        draft = self._close(trace, result, call)
        draft.graph = run_passes(draft.graph)
        traced = time.perf_counter()
        batch = [
            i
            for i, source in enumerate(draft.sources)
            if source.argument is not None and _leads(shapes, draft, i)
        ]
        program = build(draft.graph, draft.donated, batch, self.name, self.spelling, self.backend)
        seconds = traced - started, time.perf_counter() - traced
        numbers = [(g, g.source.argument) for g in trace.scalar_guards.values()]
        grads = [
            (tensor, tensor._grad, tensor._grad is not None and tensor._grad._cell in trace.origin)
            for tensor, _ in trace.grad_reads.values()
        ]
        captured = {id(c) for c, s in trace.origin.items() if s.argument is None}
        print_of = Fingerprint([*roots_of(guards), *trace.touched], trace.kept)
        return Entry(
            Bound(draft, program),
            shapes,
            reason,
            guards,
            numbers,
            grads,
            print_of,
            module_epoch(),
            seconds,
            captured - {id(t._cell) for t in call.tensors if t is not None},
        )

    def _run_traced(self, call: Call, shapes: Shapes) -> tuple[Trace, Any]:
        """The step's code over nodes; whatever happens, the thread's modes are as before."""
        trace, outer_grad = Trace(), modes.grad
        saved = snapshot_attributes(roots_of(captured_guards(self.function)))
        leaves = self._traced_leaves(trace, call, shapes)
        modes.trace = trace
        try:
            args, kwargs = pytree.unflatten(call.structure, leaves)
            return trace, self.function(*args, **kwargs)
        except BaseException:
            modes.trace = None
            restore_attributes(saved)
            raise
        finally:
            modes.trace, modes.grad = None, outer_grad

    def _traced_leaves(self, trace: Trace, call: Call, shapes: Shapes) -> list[Any]:
        leaves: list[Any] = []
        met: set[Any] = set()
        for at, (leaf, tensor) in enumerate(zip(call.leaves, call.tensors, strict=True)):
            if tensor is not None:
                if tensor._cell not in met:
                    dtype = dtype_of(tensor._cell.array.dtype)
                    trace.add_argument(tensor, at, TensorType(dtype, shapes[at]))
                met.add(tensor._cell)
                leaves.append(tensor)
            elif type(leaf) is float:
                leaves.append(trace.add_number(at, leaf))
            else:
                leaves.append(leaf)
        return leaves

    def _close(self, trace: Trace, result: Any, call: Call) -> Any:
        modes.trace = trace
        try:
            return close(trace, result, call.tensors, self.keep_grads)
        finally:
            modes.trace = None


def take_apart(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Leaves, tensors and the key under which programs are kept."""
    leaves, structure = pytree.flatten((args, kwargs))
    tensors: list[Any] = []
    parts: list[Any] = []
    shapes: list[tuple[int, ...]] = []
    met: dict[int, int] = {}
    for at, leaf in enumerate(leaves):
        if isinstance(leaf, np.ndarray):
            leaf = Tensor._from_array(leaf)
        if isinstance(leaf, Tensor):
            kind = leaf.value.type
            tensors.append(leaf)
            shapes.append(kind.shape)
            first = met.setdefault(id(leaf._cell), at)
            parts.append((kind.dtype, len(kind.shape), leaf._wants_grad, first - at))
            continue
        tensors.append(None)
        shapes.append(())
        if type(leaf) is float:
            parts.append(float)
        else:
            _must_be_hashable(leaf)
            parts.append((type(leaf), leaf))
    family = (structure, tuple(parts), modes.grad)
    return Call(leaves, structure, tensors, family, tuple(shapes))


def _must_be_hashable(leaf: Any) -> None:
    try:
        hash(leaf)
    except TypeError:
        raise TraceError(
            message(
                user_location(),
                f"a jitted step got an argument of type {type(leaf).__name__}",
                "pass tensors, arrays, numbers, strings, or containers of them",
            )
        ) from None


def generalise(seen: Sequence[tuple[tuple[int, ...], ...]]) -> Shapes:
    """Sizes that were always the same, and a symbol for each pattern of sizes that were not."""
    names: dict[tuple[int, ...], Size] = {}
    shapes: list[tuple[Size, ...]] = []
    for at, first in enumerate(seen[0]):
        sizes: list[Size] = []
        for axis in range(len(first)):
            history = tuple(shapes_[at][axis] for shapes_ in seen)
            if len(set(history)) == 1:
                sizes.append(history[0])
            else:
                sizes.append(names.setdefault(history, symbol(_symbol_name(len(names)))))
        shapes.append(tuple(sizes))
    return tuple(shapes)


def _symbol_name(count: int) -> str:
    return "NMLKJIHG"[count] if count < 8 else f"N{count}"


def _leads(shapes: Shapes, draft: Any, at: int) -> bool:
    """Whether axis 0 of an argument is the batch: the size that the first data argument has."""
    data = [s for s in draft.sources if s.argument is not None and s.cell is not None]
    data = [s for s in data if s.node.shape]
    return bool(data) and draft.sources[at].node.shape[:1] == data[0].node.shape[:1]


def jit(function: Any = None, **options: Any) -> Any:
    """Compile a step: ``@engine.jit``, ``@engine.jit(backend="interpreter")`` or ``jit(fn)``.

    Arguments may be tensors, arrays, numbers, strings and containers of them. Floats are run-time
    inputs: another learning rate never compiles again. Every outside tensor that the step reads
    (parameters, buffers, optimizer slots, random state) is read at each call, and each one it
    writes is written in place. If the step raises, state is as before. Options: ``backend``
    ("codegen" or "interpreter"), ``name``, ``spelling`` ("vector" or "numba"), and ``keep_grads``:
    by default a gradient that the step itself applies (the parameter is written after
    ``backward``) is not stored, and ``p.grad`` is None afterwards.

    >>> @engine.jit
    ... def step(x, y):
    ...     opt.zero_grad()
    ...     loss = F.cross_entropy(model(x), y)
    ...     loss.backward()
    ...     opt.step()
    ...     return loss
    """
    defaults = {"backend": "codegen", "name": None, "spelling": "vector", "keep_grads": False}
    unknown = set(options) - set(defaults)
    if unknown:
        raise TypeError(f"jit() has no option {', '.join(sorted(unknown))}")
    if function is None:
        return functools.partial(jit, **options)
    return Step(function, **{**defaults, **options})
