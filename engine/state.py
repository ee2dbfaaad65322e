"""A cell in, the part of a tensor that has a lifetime out: contents, gradient, history, writes.

``engine.tensor.Tensor`` adds the operations. What a tensor holds is asked for through ``value``,
which follows the running trace where there is one; outside it follows the cell's version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import AutogradError, DTypeError, EngineError, ShapeError, TraceError, message
from engine.guards import bump_module_epoch
from engine.locate import user_location
from engine.modes import modes
from engine.storage import Cell, Value
from ir.graph import Node
from ir.table import Array
from ir.types import TensorType, is_float

if TYPE_CHECKING:
    from typing import Self

    from engine.tensor import Tensor


class TensorState:
    """Contents, ``requires_grad``, ``grad``, and the rules of writing in place."""

    _plain: type[Tensor]
    _hooks: Any = None  # of a leaf: ``engine.backward_hooks.TensorHooks``

    def __init__(self, cell: Cell, value: Value | None = None, requires_grad: bool = False) -> None:
        self._cell = cell
        self._value = value
        self._wants_grad = requires_grad
        self._grad: Tensor | None = None

    @classmethod
    def _from_array(cls, array: Array, requires_grad: bool = False) -> Self:
        """A leaf over ``array`` itself (not a copy)."""
        return cls(Cell(array), None, requires_grad)

    def _beside(self, array: Array) -> Tensor:
        """A plain tensor over ``array``, of the same device."""
        made = self._plain._from_array(array)
        made._cell.home = self._cell.home
        return made

    @classmethod
    def _from_value(cls, value: Value) -> Self:
        """A tensor that holds the result ``value``."""
        cell = Cell(value.array, home=value.home)
        stamp = value.node if modes.trace is not None else 0
        if modes.trace is not None:
            modes.trace.bind(cell, value.node)
        return cls(cell, value.placed(cell, stamp))

    @property
    def value(self) -> Value:
        """What the tensor holds now."""
        if modes.trace is not None:
            return modes.trace.value_of(self)
        value = self._value
        if value is not None and value.stamp == self._cell.counter.version:
            return value
        return self._refresh()

    def _refresh(self) -> Value:
        type_ = self._cell.type
        if type_ is None:
            raise TraceError(
                message(
                    user_location(),
                    "this tensor was made inside a jitted step that has ended",
                    "return it from the step instead of storing it",
                )
            )
        old = self._value
        if old is not None and old.sources and old.requires_grad:
            raise AutogradError(
                message(
                    user_location(),
                    "this tensor has history, and its memory was written through another",
                    "clone() it before detaching, or write under no_grad",
                )
            )
        self._value = self._leaf_value(type_, self._cell.held)
        return self._value.placed(self._cell, self._cell.counter.version)

    def _leaf_value(
        self, type_: TensorType, array: Array | None, node: Node | None = None
    ) -> Value:
        leaf: Any = self if self._wants_grad else None
        home = self._cell.home
        return Value(type_, array, node, requires_grad=self._wants_grad, leaf=leaf, home=home)

    @property
    def requires_grad(self) -> bool:
        """Whether ``backward`` gives this tensor, or what it was computed from, a gradient."""
        return self._wants_grad or self.value.requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether a leaf collects gradients; RuntimeError for computed or integer tensors."""
        value = self.value
        if not self.is_leaf:
            if not requires_grad:
                raise AutogradError(
                    message(
                        user_location(),
                        "you can only change requires_grad flags of leaf tensors",
                        "use detach() for a tensor without history",
                    )
                )
            return self
        if requires_grad and not is_float(value.type.dtype):
            raise DTypeError(
                message(
                    user_location(),
                    f"only float tensors can require gradients, not {value.type.dtype}",
                )
            )
        if requires_grad != self._wants_grad:
            self._wants_grad = requires_grad
            self._value = None if self._cell.type is not None else value
            if modes.trace is not None:
                modes.trace.forget(self)
            else:
                bump_module_epoch()
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user, not computed from tensors with gradients."""
        value = self.value
        return not value.requires_grad or value.leaf is self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward`` collected, or None."""
        if modes.trace is not None:
            return modes.trace.grad_of(self)
        return self._grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        if grad is not None and (grad.shape != self.value.type.shape):
            raise ShapeError(
                message(
                    user_location(),
                    f"grad of shape {list(grad.shape)} assigned to a tensor of shape "
                    f"{list(self.value.type.shape)}",
                )
            )
        if modes.trace is not None:
            modes.trace.set_grad(self, grad)
        else:
            self._grad = grad

    def detach(self) -> Tensor:
        """The same memory without history: writes through either are seen by both."""
        if modes.trace is not None:
            return modes.trace.detach(self)
        self.value  # noqa: B018  (refuses a tensor of an ended trace)
        return self._plain(self._cell)

    @property
    def data(self) -> Tensor:
        """As ``detach()``."""
        return self.detach()

    @data.setter
    def data(self, source: Tensor) -> None:
        if modes.trace is not None:
            raise TraceError(
                message(user_location(), "assigning .data inside jit", "use copy_() instead")
            )
        source.value  # noqa: B018
        self._cell, self._value = source._cell, None
        bump_module_epoch()

    def _check_write(self) -> None:
        if self._wants_grad and modes.grad:
            raise AutogradError(
                message(
                    user_location(),
                    "a leaf Tensor that requires grad is being used in an in-place operation",
                    "write under no_grad(), or on a clone()",
                )
            )

    def _assign(self, value: Value) -> Self:
        """Write ``value`` into the cell: every tensor that shares it sees the new contents."""
        self._check_write()
        if modes.trace is not None:
            modes.trace.assign(self, value)
            return self
        target = self._cell.array
        assert target is not None
        assert value.array is not None
        if not target.flags.writeable:
            raise EngineError(
                message(
                    user_location(),
                    "in-place write into an expanded or read-only tensor: more than one element "
                    "refers to a single memory location",
                    "clone() the tensor before writing to it",
                )
            )
        old = self._value
        if value.requires_grad and old is not None and old.array is target and not old.overwritten:
            old.array, old.cell = target.copy(), None  # what the history of the new value reads
        np.copyto(target, value.array)
        self._cell.counter.wrote()
        if value.requires_grad:
            fresh = Value(
                value.type,
                target,
                value.node,
                value.sources,
                requires_grad=True,
                leaf=value.leaf,
                home=self._cell.home,
            )
        else:
            fresh = self._leaf_value(value.type, target)
        self._value = fresh.placed(self._cell, self._cell.counter.version)
        return self
