"""A tensor in, the same memory as a module's state out, trainable or not."""

from __future__ import annotations

from typing import Any

from engine.tensor import Tensor


class Buffer(Tensor):
    """A tensor that a ``Module`` registers as a buffer when it is assigned as an attribute.

    Shares memory with ``data``. ``persistent=False`` keeps it out of ``state_dict``.
    """

    def __init__(self, data: Tensor, *, persistent: bool = True) -> None:
        super().__init__(data.detach()._cell, None, False)
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
        super().__init__(data.detach()._cell, None, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = Parameter(self.detach().clone(), self._wants_grad)
        found: Parameter = memo[id(self)]
        return found

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
