"""A call's arguments in, the program that may answer it out: keys, sizes, guards.

Calls of one ``Family`` differ in sizes only. An ``Entry`` is a program with the conditions under
which it answers; ``broken`` says in words which one does not hold, and that text is what
``step.explain()`` gives as the reason for the next program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np

from engine import pytree
from engine.creation import from_numpy
from engine.dispatch import known_sizes
from engine.errors import TraceError, message
from engine.fingerprint import Fingerprint
from engine.guards import Guard, module_epoch
from engine.locate import user_location
from engine.modes import modes
from engine.program import Bound
from engine.storage import CPU, Cell
from engine.tensor import Tensor
from engine.trace import ScalarGuard
from ir.dims import Size, symbol

Sizes: TypeAlias = tuple[tuple[int, ...], ...]
Shapes: TypeAlias = tuple[tuple[Size, ...], ...]
_LEAVES = frozenset({Tensor, np.ndarray, float, int, bool, str})  # no container is one of these


@dataclass
class Call:
    """One call, taken apart."""

    leaves: list[Any]
    structure: Any
    tensors: list[Any]
    family: tuple[Any, ...]
    shapes: Sizes


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
    number: int = 0  # programs are counted from 0 in the order they were built
    runs: int = 0

    @property
    def symbolic(self) -> bool:
        """Whether some size may change between calls."""
        return any(not isinstance(size, int) for shape in self.shapes for size in shape)

    def fits(self, shapes: Sizes) -> bool:
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

    @cached_property
    def _same(self) -> list[tuple[Callable[[], Any], Any, Guard]]:
        """The guards, taken apart: mostly what was seen is there still, the object itself."""
        return [(guard.read, guard.seen, guard) for guard in self.guards]

    def broken(self, call: Call) -> str:
        """Why the program may not answer ``call``; empty where it may."""
        for read, seen, guard in self._same:
            if read() is not seen and not guard.holds():
                return f"{guard.name} changed from {guard.seen!r}"[:120]
        for number, argument in self.numbers:
            getter = number.source.number
            now = call.leaves[argument] if getter is None else getter()  # type: ignore[index]
            if now != number.seen:
                return f"a number that the step's code asked for changed: {number.seen} -> {now}"
        for tensor, seen, by_identity in self.grads:
            if (
                tensor._grad is not seen
                if by_identity
                else (tensor._grad is None) != (seen is None)
            ):
                return "a gradient is there that was not, or the other way round"
        for tensor in call.tensors:
            if tensor is not None and id(tensor._cell) in self.captured:
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
    seen: list[Sizes] = field(default_factory=list)
    static_only: str = ""


def take_apart(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Leaves, tensors and the key under which programs are kept."""
    leaves, structure = _flatten(args, kwargs)
    tensors: list[Any] = []
    parts: list[Any] = []
    shapes: list[tuple[int, ...]] = []
    met: dict[int, int] = {}
    for at, leaf in enumerate(leaves):
        if isinstance(leaf, np.ndarray):
            leaf = from_numpy(leaf)
        if isinstance(leaf, Tensor):
            cell = leaf._cell
            dtype, shape = _kind_of(leaf, cell)
            tensors.append(leaf)
            shapes.append(shape)
            first = met.setdefault(id(cell), at)
            away = cell.home not in (None, CPU)
            parts.append((dtype, len(shape), leaf._wants_grad, first - at, away))
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


def _flatten(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    """The leaves and their structure; at once where all are arguments of their own."""
    if not kwargs and all(type(arg) in _LEAVES for arg in args):
        return list(args), _flat(len(args))
    return pytree.flatten((args, kwargs))


@cache
def _flat(count: int) -> Any:
    return pytree.flatten(((0,) * count, {}))[1]


def _kind_of(leaf: Tensor, cell: Cell) -> tuple[Any, tuple[int, ...]]:
    """The dtype and the sizes of an argument; an error for one that has lost its contents."""
    held, value = cell.held, leaf._value
    if held is None or (value is not None and value.sources):  # history, which a write may end
        kind = leaf.value.type
        return kind.dtype, known_sizes(kind.shape)
    return held.dtype, held.shape


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


def generalise(seen: Sequence[Sizes]) -> Shapes:
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
