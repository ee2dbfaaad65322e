"""A tensor in, the same memory as a module's trainable state out."""

from __future__ import annotations

from typing import Any

from engine.tensor import Tensor


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
