"""A tensor in, the same numbers as another dtype out: the methods that convert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.device import names_device, refuse_others
from engine.dispatch import cast
from engine.dtypes import as_dtype, bfloat16, bool_, float16, float32, float64, int32, int64
from engine.state import TensorState

if TYPE_CHECKING:
    from engine.tensor import Tensor


class Conversions:
    """``to`` and its short forms."""

    def to(self: Any, *args: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Tensor:
        """The tensor as another dtype; the only device is "cpu"."""
        for arg in (*args, device):
            if isinstance(arg, TensorState):
                dtype = arg.value.type.dtype
            elif names_device(arg):
                refuse_others(str(arg))
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        return self if dtype is None else cast(self, as_dtype(dtype))

    def type_as(self: Any, other: Tensor) -> Tensor:
        """The tensor as the dtype of ``other``."""
        return cast(self, other.dtype)

    def cpu(self: Any) -> Any:
        """The tensor itself."""
        return self

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
