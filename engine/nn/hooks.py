"""Functions to call around ``forward`` in, handles that remove them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from engine.guards import bump_module_epoch

Hook: TypeAlias = Callable[..., Any]


class RemovableHandle:
    """Ends a hook: ``remove()``, or the end of a ``with`` block."""

    def __init__(self, home: dict[int, Hook], key: int) -> None:
        self._home, self._key = home, key

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        if self._home.pop(self._key, None) is not None:
            bump_module_epoch()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one module, in the order of their registration."""

    def __init__(self) -> None:
        self._before: dict[int, Hook] = {}
        self._after: dict[int, Hook] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._before or self._after)

    def add_before(self, hook: Hook) -> RemovableHandle:
        """Register a ``hook(module, args)``."""
        return self._add(self._before, hook)

    def add_after(self, hook: Hook) -> RemovableHandle:
        """Register a ``hook(module, args, output)``."""
        return self._add(self._after, hook)

    def around(
        self, module: Any, forward: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call ``forward`` with every hook around it."""
        for hook in list(self._before.values()):
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = forward(*args, **kwargs)
        for hook in list(self._after.values()):
            changed = hook(module, args, output)
            output = output if changed is None else changed
        return output

    def _add(self, home: dict[int, Hook], hook: Hook) -> RemovableHandle:
        self._count += 1
        home[self._count] = hook
        bump_module_epoch()
        return RemovableHandle(home, self._count)
