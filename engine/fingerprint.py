"""Modules and optimizers that a step used in, a test that they are still what they were out.

The module epoch says that something changed somewhere; a fingerprint says whether it was anything
that this step saw. ``model.train(); model.eval(); model.train()`` must not compile again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from engine.guards import Guard
from engine.tensor import Tensor

_TREES = ("_parameters", "_buffers", "_modules")
_CONSTANTS = (int, float, str, bool, tuple, type(None))


class Fingerprint:
    """What modules, optimizers and captured tensors looked like when a step was traced."""

    def __init__(self, owners: Iterable[Any], tensors: Iterable[Any]) -> None:
        self._owners = list({id(owner): owner for owner in owners}.values())
        self._tensors = [x for x in tensors if isinstance(x, Tensor)]
        self._seen = list(self._read())

    def changed(self) -> str:
        """What changed since, or an empty string."""
        now = list(self._read())
        for (name, old), (_, new) in zip(self._seen, now, strict=False):
            if not _same(old, new):
                return f"{name} changed"
        return "" if len(now) == len(self._seen) else "the structure of a module changed"

    def _read(self) -> Iterator[tuple[str, Any]]:
        for owner in self._owners:
            if hasattr(owner, "modules"):
                for name, module in owner.named_modules():
                    yield from _module_facts(f"{type(owner).__name__}.{name}".rstrip("."), module)
            elif hasattr(owner, "param_groups"):
                yield from _optimizer_facts(owner)
        for tensor in self._tensors:
            yield "the memory of a tensor", tensor._cell
            yield "requires_grad of a tensor", tensor._wants_grad


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    return isinstance(old, _CONSTANTS) and type(old) is type(new) and bool(old == new)


def _module_facts(name: str, module: Any) -> Iterator[tuple[str, Any]]:
    yield name, module
    for key, value in module.__dict__.items():
        if key in _TREES:
            for inner, part in value.items():
                yield f"{name}.{inner}", part
        elif key == "_hooks":
            yield (
                f"hooks of {name}",
                tuple(
                    id(hook)
                    for table in vars(value).values()
                    if isinstance(table, dict)
                    for hook in table.values()
                ),
            )
        else:
            yield f"{name}.{key}", value


def _optimizer_facts(optimizer: Any) -> Iterator[tuple[str, Any]]:
    name = type(optimizer).__name__
    for group in optimizer.param_groups:
        for param in group["params"]:
            yield f"parameters of {name}", param
            for slot in optimizer.state.get(param, {}).values():
                yield f"state of {name}", slot


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


def snapshot_attributes(roots: Iterable[Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The attributes of networks, to put back if the step fails."""
    saved = []
    for root in roots:
        for module in root.modules() if hasattr(root, "modules") else ():
            tables = [module.__dict__, *(module.__dict__[tree] for tree in _TREES)]
            saved += [(table, dict(table)) for table in tables]
    return saved


def restore_attributes(saved: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Attributes that held, or now hold, tensors are as they were."""
    for table, before in saved:
        for key in [*table]:
            new, old = table[key], before.get(key)
            if new is not old and (isinstance(new, Tensor) or isinstance(old, Tensor)):
                if key in before:
                    table[key] = old
                else:
                    del table[key]
