"""A tensor in, the same memory as a module's state out, trainable or not."""

from __future__ import annotations

from typing import Any

from engine.creation import empty
from engine.errors import EngineError
from engine.modes import modes
from engine.moving import settled
from engine.storage import CPU
from engine.tensor import Tensor


def owned(x: Tensor) -> Tensor:
    """``x``, which a module keeps: on the default device, if nobody has said where."""
    return settled(x, modes.home) if x._cell.home is None and x._cell.type is not None else x


class Buffer(Tensor):
    """A tensor that a ``Module`` registers as a buffer when it is assigned as an attribute.

    Shares memory with ``data``. ``persistent=False`` keeps it out of ``state_dict``.
    """

    def __init__(self, data: Tensor, *, persistent: bool = True) -> None:
        super().__init__(owned(data.detach())._cell, None, False)
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) not in memo:
            memo[id(self)] = Buffer(self.detach().clone(), persistent=self.persistent)
        found: Buffer = memo[id(self)]
        return found


class Parameter(Tensor):
    """A tensor that a ``Module`` registers when it is assigned as an attribute.

    Shares memory with ``data``. Gradients are collected unless ``requires_grad=False``.

    >>> nn.Parameter(torch.zeros(2)).requires_grad
    True
    """

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        super().__init__(owned(data.detach())._cell, None, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = Parameter(self.detach().clone(), self._wants_grad)
        found: Parameter = memo[id(self)]
        return found

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Uninitialized(Tensor):
    """State whose shape is not known yet: it has a dtype, and becomes plain by ``materialize``."""

    cls_to_become: type[Tensor]

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become a plain tensor of ``shape``, of zeros, in the same object.

        Inside a trace too: the memory is that of the program's state, not a value of the step.
        """
        outer, modes.trace = modes.trace, None
        try:
            kind = self.dtype if dtype is None else dtype
            self.data = empty(tuple(shape), dtype=kind, device=device or CPU)
        finally:
            modes.trace = outer
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> Any:
        raise EngineError(
            "Can't access the shape of an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before accessing their attributes."
        )

    def detach(self) -> Tensor:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter of a lazy module before its first input."""

    cls_to_become = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        Parameter.__init__(self, empty(0, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedParameter:
        if id(self) not in memo:
            memo[id(self)] = UninitializedParameter(self._wants_grad, dtype=self.dtype)
        found: UninitializedParameter = memo[id(self)]
        return found


class UninitializedBuffer(Uninitialized):
    """A buffer of a lazy module before its first input."""

    cls_to_become = Tensor

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        super().__init__(empty(0, dtype=dtype)._cell, None, requires_grad)
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedBuffer:
        if id(self) not in memo:
            memo[id(self)] = UninitializedBuffer(dtype=self.dtype, persistent=self.persistent)
        found: UninitializedBuffer = memo[id(self)]
        return found


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer waits for its shape."""
    return isinstance(param, Uninitialized)
