"""What a step read from Python in, a cheap test that it is still so out.

Structure of modules and optimizers is watched by one counter, the module epoch: whoever changes
it bumps. Everything else that a step's code names (globals, closure cells, attributes of its
``self``) is remembered when the step is traced: constants by value, other objects by identity.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from engine.locate import is_own_file

_epoch = itertools.count(1)
_now = 0

_CONSTANTS = (int, float, bool, str, bytes, type(None), complex)
_MISSING = object()


def bump_module_epoch() -> None:
    """Say that some module or optimizer changed in a way that Python code could notice."""
    global _now  # noqa: PLW0603  (one counter for the process is the point)
    _now = next(_epoch)


def module_epoch() -> int:
    """The counter's value now."""
    return _now


@dataclass(frozen=True)
class Guard:
    """``read()`` must give ``seen`` again; ``name`` is for people."""

    name: str
    read: Callable[[], Any]
    seen: Any
    by_value: bool

    def holds(self) -> bool:
        """Whether what was seen is still so."""
        now = self.read()
        if self.by_value:
            return type(now) is type(self.seen) and bool(now == self.seen)
        return now is self.seen


def captured_guards(function: Callable[..., Any]) -> list[Guard]:
    """A guard for everything that the code of ``function``, and of the user's functions and
    modules that it names, reads from globals, closures and its own ``self``."""
    guards: list[Guard] = []
    waiting: list[Any] = [function, *_functions(function)]
    done: set[int] = set()
    while waiting:
        for name, read in _names(waiting.pop()):
            seen = read()
            if seen is _MISSING:
                continue
            guards.extend(_watch(name, read, seen))
            for inner in _functions(seen):
                if id(inner.__code__) not in done:
                    done.add(id(inner.__code__))
                    waiting.append(inner)
    return list({(g.name, id(g.seen)): g for g in guards}.values())


def _names(function: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names that a function's code reads, with a way to read each."""
    if isinstance(function, types.MethodType):
        owner = function.__self__
        for name in _codes_names(function.__func__.__code__):
            if name in getattr(owner, "__dict__", {}):
                yield f"self.{name}", lambda n=name: owner.__dict__.get(n, _MISSING)  # type: ignore[misc]
        function = function.__func__
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, types.FunctionType):
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, lambda c=cell: _contents(c)  # type: ignore[misc]
    space = function.__globals__
    for name in _codes_names(function.__code__):
        if name in space:
            yield name, lambda n=name: space.get(n, _MISSING)  # type: ignore[misc]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return _MISSING


def _codes_names(code: types.CodeType) -> set[str]:
    """Names in the code and in the functions defined inside it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _codes_names(constant)
    return found


def _watch(name: str, read: Callable[[], Any], seen: Any) -> Iterator[Guard]:
    """The object itself, and the constants in it where it is a plain container."""
    if isinstance(seen, _CONSTANTS):
        yield Guard(name, read, seen, True)
        return
    yield Guard(name, read, seen, False)
    items: dict[Any, Any] = {}
    if isinstance(seen, dict) and len(seen) <= 64:
        items = seen
    elif _is_plain_object(seen):
        items = seen.__dict__
    for key, value in list(items.items()):
        if isinstance(key, str) and isinstance(value, _CONSTANTS):
            text = f"{name}[{key!r}]" if items is seen else f"{name}.{key}"
            yield Guard(text, lambda d=items, k=key: d.get(k, _MISSING), value, True)  # type: ignore[misc]


def _is_plain_object(seen: Any) -> bool:
    """A user's record of settings: not a module, class, function, network or tensor."""
    kind = type(seen)
    plain = hasattr(seen, "__dict__") and not isinstance(seen, type | types.ModuleType)
    if not plain or callable(seen):
        return False
    return not any(base.__module__.split(".")[0] == "engine" for base in kind.__mro__)


def _functions(seen: Any) -> Iterator[types.FunctionType]:
    """The user's functions behind a name: itself, or the ``forward`` of a network's parts."""
    if isinstance(seen, types.FunctionType):
        if not is_own_file(seen.__code__.co_filename):
            yield seen
    elif hasattr(seen, "forward") and hasattr(seen, "modules"):
        for kind in {type(module) for module in seen.modules()}:
            forward = kind.forward
            if isinstance(forward, types.FunctionType) and not is_own_file(
                forward.__code__.co_filename
            ):
                yield forward
