"""Functions to call before and after an optimizer's step in, handles that remove them out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

from engine.guards import bump_module_epoch
from engine.handles import RemovableHandle

Hook: TypeAlias = Callable[..., Any]


class StepHooks:
    """The hooks of one optimizer, in the order of their registration."""

    def __init__(self) -> None:
        self.before: dict[int, Hook] = {}
        self.after: dict[int, Hook] = {}
        self._keys = count()

    def add(self, home: dict[int, Hook], hook: Hook) -> RemovableHandle:
        """Put ``hook`` at the end of ``home``, which is ``before`` or ``after``."""
        key = next(self._keys)
        home[key] = hook
        bump_module_epoch()
        return RemovableHandle(home, key)

    def around(self, optimizer: Any, move: Hook, closure: Any) -> Any:
        """Call ``move(closure)`` with every hook around it; hooks get ``(optimizer, closure)``."""
        args: tuple[Any, ...] = (optimizer,) if closure is None else (optimizer, closure)
        kwargs: dict[str, Any] = {}
        for hook in list(self.before.values()):
            changed = hook(optimizer, args, kwargs)
            if changed is not None:
                args, kwargs = _pair(changed)
        result = move(*args[1:], **kwargs)
        for hook in list(self.after.values()):
            hook(optimizer, args, kwargs)
        return result


def _pair(changed: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not isinstance(changed, tuple) or len(changed) != 2:
        text = "a step hook must return None or a tuple of (new_args, new_kwargs), not"
        raise RuntimeError(f"{text} {changed}")
    return changed
