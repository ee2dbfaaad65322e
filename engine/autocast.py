"""A block of code in, its products stored in half precision out: mixed precision training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from engine.device import KNOWN
from engine.dtypes import as_dtype, bfloat16
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.modes import modes
from ir.types import DType, is_half


class autocast:
    """Context manager and decorator: matrix products, convolutions and attention in half.

    Inside, the float32 operands of every product are rounded to ``dtype`` (bfloat16 or float16),
    products are accumulated in float32, and their results are stored in ``dtype``. Parameters,
    and with them the optimizer, stay float32; losses are computed in float32. Works under ``jit``.

    Differs from PyTorch: the rule is one for products, not a list of functions; what follows a
    product keeps its dtype until it meets float32.

    >>> with engine.autocast("cpu", dtype=engine.bfloat16):
    ...     (engine.ones(2, 2) @ engine.ones(2, 2)).dtype
    dtype(bfloat16)
    """

    def __init__(
        self,
        device_type: str = "cpu",
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type.partition(":")[0] not in KNOWN:
            text = f"autocast for {device_type!r}: there are {' and '.join(KNOWN)}"
            raise RuntimeError(message(user_location(), text))
        chosen = bfloat16 if dtype is None else as_dtype(dtype)
        if not is_half(chosen):
            text = f"autocast stores in bfloat16 or float16, not {chosen}"
            raise DTypeError(message(user_location(), text))
        self.dtype: DType | None = chosen if enabled else None
        self._outer: list[DType | None] = []

    def __enter__(self) -> autocast:
        self._outer.append(modes.autocast)
        modes.autocast = self.dtype
        return self

    def __exit__(self, *exc: object) -> None:
        modes.autocast = self._outer.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether an ``autocast`` block is running."""
    return modes.autocast is not None
