"""The thread in, its modes out: whether history is recorded, and which trace is running."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from engine.loops import Made
    from engine.trace import Trace
    from ir.types import DType

F = TypeVar("F", bound=Callable[..., Any])


class _Modes(threading.local):
    grad: bool = True
    trace: Trace | None = None
    autocast: DType | None = None  # products of float32 operands are stored in this half
    home: str = "cpu"  # where tensors are made whose maker does not say where
    made: Made | None = None  # the body of a loop that is being traced


modes = _Modes()


def is_grad_enabled() -> bool:
    """Whether operations record the history that ``backward`` needs."""
    return modes.grad


class set_grad_enabled:
    """Context manager and decorator: record history inside, or not."""

    def __init__(self, mode: bool) -> None:
        self.mode, self._outer = mode, [modes.grad]
        modes.grad = mode

    def __enter__(self) -> None:
        modes.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        modes.grad = self._outer.pop()


class _GradMode:
    """``with no_grad():``, ``@no_grad()`` and ``@no_grad``, as in PyTorch."""

    mode = False

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        made._outer = []
        return made(function) if function is not None else made

    _outer: list[bool]

    def __enter__(self) -> None:
        self._outer.append(modes.grad)
        modes.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        modes.grad = self._outer.pop()

    def __call__(self, function: F) -> F:
        kind = type(self)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with kind():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class no_grad(_GradMode):
    """No history inside: results do not require grad."""


class enable_grad(_GradMode):
    """History inside, also below ``no_grad``."""

    mode = True
