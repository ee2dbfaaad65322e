"""A registered function in, what takes it away again out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.guards import bump_module_epoch


class RemovableHandle:
    """Ends a hook: ``remove()``, or the end of a ``with`` block."""

    def __init__(self, home: dict[int, Callable[..., Any]], key: int) -> None:
        self._home, self._key = home, key

    @property
    def id(self) -> int:
        """Its number, the order of registration."""
        return self._key

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        if self._home.pop(self._key, None) is not None:
            bump_module_epoch()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
