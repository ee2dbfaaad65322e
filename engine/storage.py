"""Contents of tensors: a ``Cell`` that can be written, and the immutable ``Value`` it holds now.

A cell is what tensors share (``detach``, ``.data``, views): an array and a version. A value is
one version of a tensor's contents as the graph sees it: a node, where it came from, and (outside
a trace) its array. Keeping the two apart lets a write through one tensor be seen by all, while
the history of the old value stays what it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ir import make
from ir.graph import Node
from ir.table import Array
from ir.types import TensorType

if TYPE_CHECKING:
    from engine.tensor import Tensor


class Counter:
    """How often the memory behind one or more cells was written."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


class Cell:
    """Shared, mutable contents. ``array`` is None for a cell that lives in a trace only."""

    __slots__ = ("__weakref__", "array", "counter")

    def __init__(self, array: Array | None, counter: Counter | None = None) -> None:
        self.array = array
        self.counter = counter or Counter()


class Value:
    """One version of a tensor's contents.

    ``sources`` are the values it was computed from while history was recorded; ``leaf`` is the
    tensor whose ``.grad`` its cotangent goes to; ``stamp`` tells whether its cell was written
    since (a version outside a trace, a node inside).
    """

    __slots__ = (
        *("_node", "array", "cell", "hooks", "leaf", "requires_grad", "sources", "stamp", "type"),
    )

    def __init__(
        self,
        type_: TensorType,
        array: Array | None = None,
        node: Node | None = None,
        sources: tuple[Value, ...] | None = (),
        *,
        requires_grad: bool = False,
        leaf: Tensor | None = None,
    ) -> None:
        self.type, self.array, self._node = type_, array, node
        self.sources, self.requires_grad, self.leaf = sources, requires_grad, leaf
        self.cell: Cell | None = None
        self.stamp: Any = None
        self.hooks: tuple[Any, int] | None = None  # where backward stops, and which place there

    @property
    def node(self) -> Node:
        """The graph's node; outside a trace, a value without history is an input of its own."""
        if self._node is None:
            self._node = make.input_node(self.type, "")
        return self._node

    def keep_node(self, node: Node) -> None:
        """Stay ``node`` in later graphs, though without history."""
        self._node = node

    @property
    def overwritten(self) -> bool:
        """Whether the array no longer holds this version."""
        return self.cell is not None and self.stamp != self.cell.counter.version

    def placed(self, cell: Cell, stamp: Any) -> Value:
        """This value, now the contents of ``cell``."""
        self.cell, self.stamp = cell, stamp
        return self
