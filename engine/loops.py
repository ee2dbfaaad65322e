"""A function of one turn in, a loop that is compiled once out: ``scan``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from engine import pytree
from engine.dispatch import apply, record
from engine.errors import ShapeError, TraceError, from_op_error, message
from engine.locate import user_location
from engine.modes import modes
from engine.storage import Cell, Value
from engine.tensor import Tensor
from engine.trace import Source, Trace
from ir import make
from ir.dims import Size
from ir.errors import OpError
from ir.graph import Node, located
from ir.loops import close_body, scan as scan_node
from ir.types import TensorType


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` for each ``x`` along axis 0 of ``xs``; all as one loop.

    As ``jax.lax.scan``: ``init`` and ``xs`` are tensors or containers of them, ``xs`` may be None
    where ``length`` is given. Returns the last carry and the stacked ``y``, the first axis of each
    running over turns; a ``reverse`` scan starts at the last ``x``. ``f`` runs once, as a trace:
    compile time does not grow with the length. It may read any tensor around it (gradients flow
    there), but write to none. Raises ShapeError where the carry changes its type or ``xs`` differ
    in length.
    """
    starts, carry_shape = pytree.flatten(init)
    sequences, slice_shape = pytree.flatten(xs)
    sequences = [x for x in sequences if x is not None]
    _check_tensors([*starts, *sequences])
    turns = _length(sequences, length)
    inner = [
        *(_placeholder(x, x.value.type) for x in starts),
        *(_placeholder(x, x.value.type.with_shape(x.value.type.shape[1:])) for x in sequences),
    ]
    with _body_of(starts or sequences) as made:
        made.name([x for x, _ in inner], [node for _, node in inner])
        carries = [x for x, _ in inner[: len(starts)]]
        slices = pytree.unflatten(slice_shape, [x for x, _ in inner[len(starts) :]] or [None])
        result = f(pytree.unflatten(carry_shape, carries), slices)
        carry, y = _pair(result)
        found, after_shape = pytree.flatten(carry)
        leaves, y_shape = pytree.flatten(y)
        outputs = [x for x in leaves if x is not None]
        if after_shape != carry_shape:
            text = "the function of a scan gives a carry of another structure than it takes"
            raise TraceError(message(user_location(), text))
        _check_tensors([*found, *outputs])
        nodes = [x.value.node for x in (*found, *outputs)]
    graph, outer = close_body([node for _, node in inner], nodes, made.nodes)
    values = [*(x.value for x in (*starts, *sequences)), *(made.outer(node) for node in outer)]
    operands = [value.node for value in values]
    try:
        with located(user_location()):
            node = scan_node(graph, len(starts), len(sequences), operands, turns, reverse)
    except OpError as error:
        raise from_op_error(error) from None
    value = record(node, values)
    value.keep_node(node)  # a tuple is no input of a graph
    whole: Tensor = Tensor._plain._from_value(value)
    items = [apply("item", whole, index=at) for at in range(len(nodes))]
    last = [_last(x, reverse) for x in items[: len(starts)]]
    ys = iter(items[len(starts) :])
    stacked = pytree.unflatten(y_shape, [None if x is None else next(ys) for x in leaves])
    return pytree.unflatten(carry_shape, last), stacked


class Made:
    """What is computed while the body's function runs, and whose values it reads."""

    def __init__(self, trace: Trace, captured: dict[Node, Tensor] | None) -> None:
        self.trace, self.captured = trace, captured
        self.nodes: dict[Node, None] = {}
        self.read: dict[Node, Value] = {}
        self.bindings = dict(trace.bindings)
        self.writes, self.grads = len(trace.written), dict(trace.grads)

    def name(self, tensors: Sequence[Tensor], nodes: Sequence[Node]) -> None:
        """The placeholders hold ``nodes`` in the running trace."""
        for tensor, node in zip(tensors, nodes, strict=True):
            self.trace.bind(tensor._cell, node)
            value = Value(node.type, None, node).placed(tensor._cell, node)
            tensor._value = value

    def record(self, node: Node, values: Sequence[Value]) -> None:
        self.nodes[node] = None
        self.read.update((value.node, value) for value in values)

    def outer(self, node: Node) -> Value:
        """The value of a node that was there before the body."""
        if self.captured is not None:
            return self.captured[node].value
        return self.read.get(node) or Value(node.type, None, node)

    def check(self) -> None:
        """TraceError where the body wrote to what is not its own."""
        before = self.bindings
        moved = any(self.trace.bindings[cell] is not node for cell, node in before.items())
        if moved or len(self.trace.written) != self.writes or self.trace.grads != self.grads:
            text = "the function of a scan writes to a tensor that was made outside of it"
            hint = "carry it through the loop, or draw random numbers before it and pass them as xs"
            raise TraceError(message(user_location(), text, hint))


class _Capture(Trace):
    """A trace outside ``jit``: tensors around the body become its constants, history and all."""

    def __init__(self) -> None:
        super().__init__()
        self.captured: dict[Node, Tensor] = {}

    def _capture(self, tensor: Any, cell: Cell) -> Node:
        type_ = cell.type
        if type_ is None:
            return super()._capture(tensor, cell)
        node = make.input_node(type_, "outer")
        self._add(Source(node, cell=cell), cell)
        self.captured[node] = tensor
        return node


@contextmanager
def _body_of(like: Sequence[Tensor]) -> Iterator[Made]:
    """Nodes instead of arrays inside, and a record of which."""
    outer, above = modes.trace, modes.made
    trace = outer if outer is not None else _Capture()
    made = Made(trace, None if outer is not None else trace.captured)  # type: ignore[attr-defined]
    modes.trace, modes.made = trace, made
    try:
        yield made
        made.check()
    finally:
        modes.trace, modes.made = outer, above
        if above is not None:
            above.nodes.update(made.nodes)
            above.read.update(made.read)


def _placeholder(like: Tensor, type_: TensorType) -> tuple[Tensor, Node]:
    node = make.input_node(type_, "turn")
    return like._plain(Cell(None)), node


def _check_tensors(leaves: Sequence[Any]) -> None:
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            text = f"a scan goes over tensors, not {type(leaf).__name__}"
            raise TraceError(message(user_location(), text, "engine.tensor(...) makes one"))


def _length(sequences: Sequence[Tensor], length: int | None) -> Size:
    sizes: list[Size] = [] if length is None else [length]
    for x in sequences:
        if not x.value.type.shape:
            raise ShapeError(message(user_location(), "xs of a scan need an axis to go along"))
        sizes.append(x.value.type.shape[0])
    if not sizes:
        raise ShapeError(message(user_location(), "a scan without xs needs a length"))
    if any(size != sizes[0] for size in sizes):
        text = f"xs of a scan differ in length: {', '.join(map(str, sizes))}"
        raise ShapeError(message(user_location(), text))
    return sizes[0]


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        text = f"the function of a scan returns (carry, y), not {type(result).__name__}"
        raise TraceError(message(user_location(), text))
    return result


def _last(history: Tensor, reverse: bool) -> Tensor:
    """What a carry is after the last turn."""
    shape = history.value.type.shape
    at = 0 if reverse else shape[0] - 1
    if not isinstance(at, int):  # a slice starts at a number
        history, at = apply("flip", history, axes=(0,)), 0
    rest = (0,) * (len(shape) - 1)
    step = (1,) * len(shape)
    row = apply("slice", history, start=(at, *rest), stop=(at + 1, *shape[1:]), step=step)
    return apply("reshape", row, shape=tuple(shape[1:]))
