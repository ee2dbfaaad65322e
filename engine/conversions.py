"""A tensor in, the same numbers as another dtype out: the methods that convert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.device import home_of, names_device
from engine.dispatch import cast
from engine.dtypes import as_dtype, bfloat16, bool_, float16, float32, float64, int32, int64
from engine.moving import is_pinned, moved, pin, target_of
from engine.state import TensorState
from engine.storage import CPU

if TYPE_CHECKING:
    from engine.tensor import Tensor

bool_type = bool  # which is also the name of a method


class Conversions:
    """``to`` and its short forms."""

    def to(
        self: Any,
        *args: Any,
        dtype: Any = None,
        device: Any = None,
        non_blocking: Any = False,
        copy: Any = False,
        **kwargs: Any,
    ) -> Tensor:
        """The tensor as another dtype, on another device, or both; itself where it is that.

        ``non_blocking``: a copy from pinned memory (``pin_memory()``) is asked for and not waited
        for. RuntimeError with the reason for a device that is not there.

        >>> engine.ones(2).to("cpu", engine.float64).dtype
        dtype('float64')
        """
        flags = [arg for arg in args if isinstance(arg, int) and arg in (True, False)]
        non_blocking = non_blocking or flags[:1] == [True]
        given = [arg for arg in args if not isinstance(arg, int)]
        for arg in given:
            if isinstance(arg, TensorState):
                dtype = arg.value.type.dtype
            elif arg is not None and not names_device(arg):
                dtype = arg
        made: Tensor = self if dtype is None else cast(self, as_dtype(dtype))
        home = target_of(tuple(given), device)
        if home is not None:
            return moved(made, home, non_blocking, bool(copy) and made is self)
        return made.clone() if copy and made is self else made

    def type_as(self: Any, other: Tensor) -> Tensor:
        """The tensor as the dtype of ``other``."""
        return cast(self, other.dtype)

    def cpu(self: Any) -> Any:
        """The tensor on the CPU: a copy of a GPU's, which is waited for, else the tensor itself."""
        return moved(self, CPU)

    def cuda(self: Any, device: Any = None, non_blocking: bool_type = False) -> Any:
        """The tensor on the GPU; RuntimeError with the reason where there is none."""
        return moved(self, home_of("cuda" if device is None else device), non_blocking)

    def pin_memory(self: Any) -> Any:
        """A copy in memory that a GPU reads by itself, for ``to(..., non_blocking=True)``."""
        return pin(self)

    def is_pinned(self: Any) -> bool_type:
        """Whether the tensor is in such memory."""
        return is_pinned(self)

    def float(self: Any) -> Tensor:
        """As float32."""
        return cast(self, float32)

    def half(self: Any) -> Tensor:
        """As float16."""
        return cast(self, float16)

    def bfloat16(self: Any) -> Tensor:
        """As bfloat16."""
        return cast(self, bfloat16)

    def double(self: Any) -> Tensor:
        """As float64."""
        return cast(self, float64)

    def long(self: Any) -> Tensor:
        """As int64."""
        return cast(self, int64)

    def int(self: Any) -> Tensor:
        """As int32."""
        return cast(self, int32)

    def bool(self: Any) -> Tensor:
        """Whether each element is not zero."""
        return cast(self, bool_)

    def type(self: Any, dtype: Any = None) -> Any:
        """As another dtype."""
        return str(self.dtype) if dtype is None else self.to(dtype)
