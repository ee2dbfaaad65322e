"""Modules and optimizers that a step used in, a test that they are still what they were out.

The module epoch says that something changed somewhere; a fingerprint says whether it was anything
that this step saw. ``model.train(); model.eval(); model.train()`` must not compile again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.guards import Guard
from engine.storage import Cell
from engine.tensor import Tensor

TREES = ("_parameters", "_buffers", "_modules")
_CONSTANTS = (int, float, str, bool, tuple, type(None))


@dataclass(frozen=True)
class Fact:
    """One thing that code could read; ``plain`` for an attribute that is no registered part."""

    name: str
    value: Any
    plain: bool = False


class Fingerprint:
    """What modules, optimizers and captured tensors looked like when a step was traced.

    A tensor in a plain attribute counts only if the step read it: networks keep their latest
    activations in attributes, and that is no reason to compile again.
    """

    def __init__(self, owners: Iterable[Any]) -> None:
        self._owners: list[Any] = []
        self._tensors: list[Tensor] = []
        self._facts: list[Fact] = []
        self._captured: frozenset[Cell] = frozenset()
        self.watch(owners)

    def watch(self, owners: Iterable[Any]) -> None:
        """Look at more owners from now on."""
        known = {id(owner) for owner in self._owners}
        fresh = {id(owner): owner for owner in owners if id(owner) not in known}
        self._owners += fresh.values()
        self._facts += [fact for owner in fresh.values() for fact in _facts(owner)]

    def capture(self, tensors: Iterable[Any], cells: Iterable[Cell]) -> None:
        """The step read these."""
        self._tensors = [x for x in tensors if isinstance(x, Tensor)]
        self._captured = frozenset(cells)
        self._states = [(x._cell, x._wants_grad, _hooks(x)) for x in self._tensors]

    def changed(self) -> str:
        """What changed since, or an empty string."""
        now = [fact for owner in self._owners for fact in _facts(owner)]
        for old, new in zip(self._facts, now, strict=False):
            if old.name != new.name:
                return f"the attributes of a module changed at {old.name}"
            if not self._same(old, new):
                return f"{old.name} changed"
        if len(now) != len(self._facts):
            return "the structure of a module changed"
        for tensor, (cell, wanted, hooks) in zip(self._tensors, self._states, strict=True):
            if _hooks(tensor) != hooks:
                return "the hooks of a tensor changed"
            if tensor._cell is not cell or tensor._wants_grad != wanted:
                return "requires_grad or the memory of a tensor changed"
        return ""

    def _same(self, old: Fact, new: Fact) -> bool:
        if old.value is new.value:
            return True
        if isinstance(old.value, _CONSTANTS):
            return type(old.value) is type(new.value) and bool(old.value == new.value)
        both = isinstance(old.value, Tensor) and isinstance(new.value, Tensor)
        return both and old.plain and old.value._cell not in self._captured


def _hooks(tensor: Tensor) -> tuple[int, ...]:
    """A leaf's hooks, by their numbers."""
    own = tensor._hooks
    return () if own is None else (*own.hooks, *own.after)


def _facts(owner: Any) -> Iterator[Fact]:
    if hasattr(owner, "modules"):
        for name, module in owner.named_modules():
            yield from _module_facts(f"{type(owner).__name__}.{name}".rstrip("."), module)
    elif hasattr(owner, "param_groups"):
        yield from _optimizer_facts(owner)


def _module_facts(name: str, module: Any) -> Iterator[Fact]:
    yield Fact(name, module)
    for key, value in module.__dict__.items():
        if key in TREES:
            for inner, part in value.items():
                yield Fact(f"{name}.{inner}", part)
        elif key == "_hooks":
            tables = [t for t in vars(value).values() if isinstance(t, dict)]
            yield Fact(f"hooks of {name}", tuple(id(h) for t in tables for h in t.values()))
        else:
            yield Fact(f"{name}.{key}", value, plain=True)


def _optimizer_facts(optimizer: Any) -> Iterator[Fact]:
    name = type(optimizer).__name__
    hooks = vars(optimizer).get("_hooks")
    tables = () if hooks is None else (hooks.before, hooks.after)
    yield Fact(f"hooks of {name}", tuple(id(hook) for t in tables for hook in t.values()))
    for group in optimizer.param_groups:
        for param in group["params"]:
            yield Fact(f"parameters of {name}", param)
            for slot in optimizer.state.get(param, {}).values():
                yield Fact(f"state of {name}", slot)


def roots_of(guards: Sequence[Guard]) -> list[Any]:
    """Networks and optimizers among the objects that a step's code names."""
    found = []
    for guard in guards:
        items = guard.seen if isinstance(guard.seen, list | tuple) else [guard.seen]
        for item in items:
            if isinstance(item, type):
                continue
            if hasattr(item, "_modules") or hasattr(item, "param_groups"):
                found.append(item)
    return found
