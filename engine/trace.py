"""Tensors met while a step runs in, the inputs, writes and gradients of one program out.

Nothing outside is touched while tracing. What a tensor holds inside the step lives in the trace's
own tables, so an error on the way needs no undoing. A cell of an outside tensor becomes an input
when it is first read; one that is written ends as an output that goes back into its array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import AutogradError, TraceError, message
from engine.locate import user_location
from engine.modes import modes
from engine.scalar import Scalar
from engine.storage import CPU, Cell, Value
from ir import make
from ir.graph import Node
from ir.table import Array
from ir.types import F64, TensorType

if TYPE_CHECKING:
    from engine.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Source:
    """Where an input's value comes from at every call: an argument, a cell, or a number."""

    node: Node
    argument: int | None = None
    cell: Cell | None = None
    number: Callable[[], float] | None = None


@dataclass(frozen=True, eq=False)
class ScalarGuard:
    """A run-time number whose value the step's code asked for."""

    source: Source
    seen: float


class Trace:
    """One run of a step's Python code over nodes instead of arrays."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.bindings: dict[Cell, Node] = {}
        self.origin: dict[Cell, Source] = {}
        self.written: dict[Cell, None] = {}
        self.grads: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.grad_reads: dict[int, tuple[Tensor, bool]] = {}
        self.consumed: set[int] = set()
        self._graded: dict[Cell, set[int]] = {}  # whose gradients are set, by what they are of
        self.scalar_guards: dict[Scalar, ScalarGuard] = {}
        self._scalars: dict[Any, Scalar] = {}
        self._scalar_sources: dict[Scalar, Source] = {}
        self._held: dict[int, tuple[Any, Value]] = {}
        self._claims: dict[Node, bool] = {}
        self._views: dict[Cell, tuple[Any, Node]] = {}
        self.kept: list[Any] = []
        self.checks: list[tuple[Node, Callable[[Array], None]]] = []
        self.device: str = CPU  # where the program runs: on a GPU if any of its tensors is there
        self.touched: list[Any] = []  # modules and optimizers used: their structure is guarded

    # inputs

    def add_argument(self, tensor: Tensor, index: int, type_: TensorType) -> None:
        """The ``index``-th tensor argument becomes an input of ``type_``."""
        source = Source(make.input_node(type_, f"arg{index}"), argument=index, cell=tensor._cell)
        self._add(source, tensor._cell)
        self.kept.append(tensor)

    def add_number(self, index: int, seen: float) -> Scalar:
        """The ``index``-th float argument becomes a run-time scalar."""
        node = make.input_node(TensorType(F64, ()), f"number{index}")
        return self._scalar(Source(node, argument=index), seen)

    def number(self, key: Any, getter: Callable[[], float], name: str = "") -> Scalar:
        """The number that ``getter`` reads at every call; one input per ``key``."""
        found = self._scalars.get(key)
        if found is None:
            label = name or f"number{len(self.sources)}"
            node = make.input_node(TensorType(F64, ()), label)
            found = self._scalar(Source(node, number=getter), float(getter()))
            self._scalars[key] = found
            self.kept.append(key)
        return found

    def _scalar(self, source: Source, seen: float) -> Scalar:
        self.sources.append(source)
        scalar = Scalar(source.node, seen)
        self._scalar_sources[scalar] = source
        return scalar

    def guard_scalar(self, scalar: Scalar) -> None:
        """The step's code depends on the value of ``scalar``."""
        source = self._scalar_sources.get(scalar)
        if source is None:
            text = "this number belongs to another jitted step"
            raise TraceError(message(user_location(), text))
        self.scalar_guards.setdefault(scalar, ScalarGuard(source, scalar.seen))

    def check(self, tensor: Any, rule: Callable[[Array], None]) -> None:
        """Before every run give ``rule`` the tensor's array, if it comes from outside."""
        node = tensor.value.node
        if any(source.node is node for source in self.sources):
            self.checks.append((node, rule))

    def _add(self, source: Source, cell: Cell) -> None:
        self.sources.append(source)
        self.bindings[cell] = source.node
        self.origin[cell] = source
        if cell.home not in (None, CPU):
            self.device = cell.home

    def _capture(self, tensor: Any, cell: Cell) -> Node:
        type_ = cell.type
        if type_ is None:
            text = "this tensor was made inside a jitted step that has ended"
            hint = "return it from the step, or keep state in tensors made outside (copy_())"
            raise TraceError(message(user_location(), text, hint))
        value = tensor._value
        if value is not None and value.sources and modes.grad:
            text = f"a jitted step uses a tensor ({value.type}) whose history began outside"
            hint = "compute it inside the step, or detach() it"
            raise AutogradError(message(user_location(), text, hint))
        self._add(Source(make.input_node(type_, f"state{len(self.sources)}"), cell=cell), cell)
        self.kept.append(tensor)
        return self.bindings[cell]

    # contents

    def value_of(self, tensor: Any) -> Value:
        """What ``tensor`` holds at this point of the step."""
        cell = tensor._cell
        bound = self.bindings.get(cell)
        if bound is None:
            bound = self._capture(tensor, cell)
        if cell in self._views:
            self._check_view(cell)
        own: Value | None = tensor._value
        if own is not None and own.stamp is bound:
            return own
        held = self._held.get(id(tensor))
        if held is not None and held[1].stamp is bound:
            return held[1]
        return self._adopt(tensor, cell, bound)

    def _adopt(self, tensor: Any, cell: Cell, bound: Node) -> Value:
        """A value for a tensor from outside, or for an alias of a cell written in the step.

        A node is either differentiated or a constant: whoever comes second gets a node of its
        own.
        """
        wants = tensor._wants_grad
        node = bound
        if self._claims.setdefault(bound, wants) != wants:
            node = make.apply("reshape", bound, shape=bound.shape)
        value: Value = tensor._leaf_value(bound.type, None, node).placed(cell, bound)
        self._held[id(tensor)] = (tensor, value)
        return value

    def bind(self, cell: Cell, node: Node) -> None:
        """``cell`` of a new tensor holds ``node``."""
        self.bindings[cell] = node

    def forget(self, tensor: Any) -> None:
        """``requires_grad`` of ``tensor`` changed."""
        self._held.pop(id(tensor), None)
        if tensor._cell.type is None:
            old = tensor._value
            node = make.apply("reshape", old.node, shape=old.type.shape)
            stamp = self.bindings[tensor._cell]
            tensor._value = tensor._leaf_value(old.type, None, node).placed(tensor._cell, stamp)

    def detach(self, tensor: Any) -> Tensor:
        """An alias without history; a node of its own, so that nothing flows through it."""
        value = self.value_of(tensor)
        node = value.node
        if value.requires_grad:
            node = make.apply("reshape", node, shape=value.type.shape)
        alias: Tensor = tensor._plain(tensor._cell)
        fresh = Value(value.type, None, node, home=value.home).placed(tensor._cell, value.stamp)
        self._held[id(alias)] = (alias, fresh)
        return alias

    # writes

    def assign(self, tensor: Any, value: Value) -> None:
        """``tensor`` and all that share its cell hold ``value`` from here on."""
        cell = tensor._cell
        self.value_of(tensor)  # an outside cell that is only written is an input all the same
        if cell in self._views:
            text = "in-place write into a view inside jit"
            hint = "write to the tensor it is a view of, or out of place (x = x + y)"
            raise TraceError(message(user_location(), text, hint))
        self.bindings[cell] = value.node
        if cell in self.origin:
            self.written[cell] = None
        if value.requires_grad:
            fresh = Value(
                value.type,
                None,
                value.node,
                value.sources,
                requires_grad=True,
                leaf=value.leaf,
                home=value.home if cell.home is None else cell.home,
            )
        else:
            fresh = tensor._leaf_value(value.type, None, value.node)
        self._held[id(tensor)] = (tensor, fresh.placed(cell, value.node))
        self.consumed |= self._graded.get(cell, set())

    def note_view(self, out: Any, base: Any) -> None:
        """``out`` shares its memory with ``base``."""
        self._views[out._cell] = (base._cell, self.bindings[base._cell])

    def _check_view(self, cell: Cell) -> None:
        base, seen = self._views[cell]
        if self.bindings[base] is not seen:
            text = "reading a view whose tensor was written since, inside jit"
            raise TraceError(message(user_location(), text, "take the view after the write"))
        if base in self._views:
            self._check_view(base)

    # gradients

    def grad_of(self, tensor: Any) -> Tensor | None:
        """``tensor.grad`` at this point of the step."""
        if id(tensor) in self.grads:
            return self.grads[id(tensor)][1]
        self.grad_reads.setdefault(id(tensor), (tensor, tensor._grad is None))
        found: Tensor | None = tensor._grad
        return found

    def set_grad(self, tensor: Any, grad: Tensor | None) -> None:
        """``tensor.grad = grad``, for after the run."""
        self.grads[id(tensor)] = (tensor, grad)
        self._graded.setdefault(tensor._cell, set()).add(id(tensor))
        self.consumed.discard(id(tensor))

    def grad_conditions(self) -> list[tuple[Any, Any, bool]]:
        """For each gradient from outside that was asked for: tensor, gradient, by identity."""
        return [
            (x, x._grad, x._grad is not None and x._grad._cell in self.origin)
            for x, _ in self.grad_reads.values()
        ]


def runtime_scalar(owner: Any, getter: Callable[[], float]) -> float | Scalar:
    """The number that ``getter`` reads: a plain float, or a run-time input inside a trace.

    Inside a jitted step ``getter`` is called again at every call, so changing what it reads never
    traces again. Getters of one ``owner`` with the same code over the same objects are one input.
    """
    if modes.trace is None:
        return getter()
    modes.trace.touched.append(owner)
    cells = getattr(getter, "__closure__", None) or ()
    seen = tuple(c.cell_contents for c in cells)
    parts = tuple(x if isinstance(x, str | int) else id(x) for x in seen)
    code = getattr(getter, "__code__", getter)
    called = [x if isinstance(x, str) else getattr(x, "__name__", "") for x in seen]
    name = next((text.strip("_") for text in called if text), "")
    return modes.trace.number((id(owner), code, parts), _keeping(getter, owner), name)


def _keeping(getter: Callable[[], float], owner: Any) -> Callable[[], float]:
    """``getter``, holding on to ``owner`` so that its id stays its own."""

    def read(owner: Any = owner) -> float:
        return float(getter())

    return read
