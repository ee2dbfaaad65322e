"""Contents of tensors: a ``Cell`` that can be written, and the immutable ``Value`` it holds now.

A cell is what tensors share (``detach``, ``.data``, views): an array and a version. A value is
one version of a tensor's contents as the graph sees it: a node, where it came from, and (outside
a trace) its array. Keeping the two apart lets a write through one tensor be seen by all, while
the history of the old value stays what it was.

``home`` is the device that a tensor belongs to: "cpu", "cuda:0", or None for what the engine made
itself (constants, random state, optimizer slots), which goes wherever it is needed. Where the
bytes are is another question: a ``Memory`` knows, and brings them to the host when they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ir import make
from ir.graph import Node
from ir.table import Array
from ir.types import TensorType, dtype_of

if TYPE_CHECKING:
    from engine.tensor import Tensor


CPU = "cpu"


class Memory(Protocol):
    """A tensor's bytes on a device, and on the host where somebody looked."""

    shape: tuple[int, ...]
    dtype: Any
    on_host: bool  # whether the newest contents are known on the host
    on_device: bool

    def read(self) -> Array:
        """The newest contents, always in the same array of the host; waits if need be."""
        ...

    def wrote(self) -> None:
        """The host's array was written."""
        ...


class Counter:
    """What is known of the memory behind one or more cells: how often it was written, and who
    keeps it where a device has it too."""

    __slots__ = ("memory", "pinned", "version")

    def __init__(self, memory: Memory | None = None) -> None:
        self.version = 0
        self.memory = memory
        self.pinned = False  # the host's memory is locked, so that a device reads it by itself

    def wrote(self) -> None:
        """The array was written on the host."""
        self.version += 1
        if self.memory is not None:
            self.memory.wrote()


class Cell:
    """Shared, mutable contents. ``array`` is None for a cell that lives in a trace only.

    ``partial``: a view of another cell's memory.
    """

    __slots__ = ("__weakref__", "counter", "held", "home", "partial")

    def __init__(
        self,
        array: Array | None,
        counter: Counter | None = None,
        home: str | None = None,
        partial: bool = False,
    ) -> None:
        self.held = array
        self.counter = counter or Counter()
        self.home, self.partial = home, partial

    @property
    def array(self) -> Array | None:
        """The newest contents on the host; asking for them may wait for a device."""
        memory = self.counter.memory
        if memory is None:
            return self.held
        whole = memory.read()
        if not self.partial:
            self.held = whole
        return self.held

    @property
    def type(self) -> TensorType | None:
        """What it holds, without looking at it; None for a cell that lives in a trace only."""
        if self.held is not None:
            return TensorType(dtype_of(self.held.dtype), self.held.shape)
        memory = self.counter.memory
        return None if memory is None else TensorType(dtype_of(memory.dtype), memory.shape)

    @property
    def place(self) -> str:
        """The device that the tensor is on, as people ask for it."""
        memory = self.counter.memory
        return self.home or ("cuda:0" if memory is not None and memory.on_device else CPU)

    def hold(self, contents: Any) -> None:
        """Other contents from now on: an array, or memory of a device."""
        plain = hasattr(contents, "flags")
        self.held = contents if plain else None
        self.counter.memory = None if plain else contents


def cell_of(contents: Any, home: str | None) -> Cell:
    """A new cell over an array, or over memory of a device."""
    made = Cell(None, home=home)
    made.hold(contents)
    return made


class Value:
    """One version of a tensor's contents.

    ``sources`` are the values it was computed from while history was recorded; ``leaf`` is the
    tensor whose ``.grad`` its cotangent goes to; ``stamp`` tells whether its cell was written
    since (a version outside a trace, a node inside); ``home`` is its device.
    """

    __slots__ = (
        *("_array", "_node", "cell", "home", "hooks", "leaf", "requires_grad", "sources"),
        *("stamp", "type"),
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
        home: str | None = None,
    ) -> None:
        self.type, self._array, self._node, self.home = type_, array, node, home
        self.sources, self.requires_grad, self.leaf = sources, requires_grad, leaf
        self.cell: Cell | None = None
        self.stamp: Any = None
        self.hooks: tuple[Any, int] | None = None  # where backward stops, and which place there

    @property
    def array(self) -> Array | None:
        """The contents on the host; None inside a trace. May wait for a device."""
        cell = self.cell
        if cell is None or cell.counter.memory is None or type(self.stamp) is not int:
            return self._array  # a value of a trace is stamped with its node
        return cell.array

    @array.setter
    def array(self, array: Array | None) -> None:
        self._array = array

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
