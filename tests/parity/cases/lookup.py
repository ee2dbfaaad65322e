"""A dotted name of PyTorch's in, the engine's callable of that name out; needs no PyTorch."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import engine


def resolve(name: str) -> Callable[..., Any] | None:
    """The engine's function of that (dotted) name, else its method, if there is one."""
    found: Any = engine
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found) and not isinstance(found, type | types.ModuleType):
        return found  # type: ignore[no-any-return]
    method = getattr(engine.Tensor, name, None)
    return method if callable(method) else None
