"""An op's name, tensors and attributes in, a tensor out: the one door to the op table.

``apply`` is exactly ``ir.make.apply``: nothing is broadcast or promoted. Outside a trace the op is
evaluated at once; inside it only the node is made. ``operands`` does for the arithmetic methods
what PyTorch does: one dtype, one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from engine.dtypes import of_number, promote
from engine.errors import DeviceError, DTypeError, OutOfRange, ShapeError, from_op_error, message
from engine.locate import user_location
from engine.modes import modes
from engine.scalar import Scalar
from engine.state import TensorState
from engine.storage import CPU, Cell, Value
from ir import make
from ir.dims import Dim, Size, evaluate
from ir.errors import OpError
from ir.graph import Node
from ir.interpret import evaluate_node
from ir.ops import OPS
from ir.table import computes
from ir.types import F32, DType, TensorType, differentiable, is_half, short

if TYPE_CHECKING:
    from engine.tensor import Tensor

Number: TypeAlias = "int | float | bool | Scalar | Dim"
Operand: TypeAlias = "Tensor | Number"
Shape: TypeAlias = tuple[Size, ...]
# How many operands, from the first on, have to be tensors; the others may be numbers.
TENSORS = dict.fromkeys(
    ("clamp", "copysign", "eq", "fmod", "ge", "gt", "le", "lt", "ne", "rsub")
    + ("__radd__", "__rand__", "__rmul__", "__ror__", "__rxor__"),
    1,
) | dict.fromkeys(
    ("atan2", "dist", "fmax", "fmin", "heaviside", "hypot", "isclose", "ldexp", "logaddexp")
    + ("logaddexp2", "logical_and", "logical_or", "logical_xor", "maximum", "minimum"),
    2,
)
TWO_NUMBERS = ("add", "sub", "mul", "div", "floor_divide")  # which need no tensor, as in PyTorch


def apply(name: str, *tensors: Tensor, **attrs: Any) -> Tensor:
    """The op ``name`` of the table on ``tensors``; no broadcasting, no promotion.

    What is stored in half is computed in float32 and rounded once.

    Raises ShapeError or DTypeError, the user's line first, where the op's rule is broken.
    """
    if modes.autocast is not None and name == "dot" and tensors[0].value.type.dtype == F32:
        tensors = tuple(cast(x, modes.autocast) for x in tensors)
    half = next((x.value.type.dtype for x in tensors if is_half(x.value.type.dtype)), None)
    if half is None or not computes(OPS[name]):
        return _applied(name, tensors, attrs)
    wide = [cast(x, F32) if is_half(x.value.type.dtype) else x for x in tensors]
    out = _applied(name, wide, attrs)
    return cast(out, half) if out.value.type.dtype == F32 else out


def _applied(name: str, tensors: Sequence[Tensor], attrs: dict[str, Any]) -> Tensor:
    values = [tensor.value for tensor in tensors]
    try:
        node = make.apply(name, *[v.node for v in values], loc=user_location(), **attrs)
    except OpError as error:
        raise from_op_error(error) from None
    return tensors[0]._plain._from_value(record(node, values))


def record(node: Node, values: Sequence[Value], home: str | None = "") -> Value:
    """The value of ``node``: evaluated outside a trace, with history where it is wanted.

    It is on the device of ``values``, unless told otherwise by ``home``.
    """
    if home == "":
        home = common_home(node, values)
    if modes.made is not None:
        modes.made.record(node, values)
    wants = modes.grad and differentiable(node.type) and any(v.requires_grad for v in values)
    sources = tuple(values) if wants else ()
    if modes.trace is not None:
        return Value(node.type, None, node, sources, requires_grad=wants, home=home)
    arrays = [v.array for v in values]
    array = evaluate_node(node, arrays)  # type: ignore[arg-type]
    if any(array is other for other in arrays):
        array = array.view()
    kept = node if wants else None
    return Value(node.type, array, kept, sources, requires_grad=wants, home=home)


def common_home(node: Node, values: Sequence[Value]) -> str | None:
    """The device of a result. A number of the CPU without dimensions goes along anywhere.

    RuntimeError where values are on two devices, with the user's line.
    """
    found: str | None = None
    number = False
    for value in values:
        home = value.home
        if home is None or home == found:
            continue
        if home == CPU and not value.type.shape:
            number = True
        elif found is None:
            found = home
        else:
            raise apart(node, found, home)
    return CPU if found is None and number and not node.type.shape else found


def joint_home(values: Sequence[Value]) -> str | None:
    """The device of a gradient: wherever one of the values is; they were moved on purpose."""
    homes = {value.home for value in values} - {None}
    return next((home for home in homes if home != CPU), CPU if homes else None)


def apart(node: Node, *homes: str) -> DeviceError:
    """PyTorch's error for tensors on two devices, with the op that met them."""
    text = "Expected all tensors to be on the same device, but found at least two devices"
    listed = " and ".join(sorted(homes, reverse=True))
    hint = f"move one of them: x.to({sorted(homes, reverse=True)[0]!r})"
    where = node.loc or user_location()
    return DeviceError(message(where, f"{text}, {listed}! ({node.op.name})", hint))


def rounded_once(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``function``, which of halves is computed in float32, as PyTorch does.

    For formulas of several ops that lose digits, or overflow, where each of them is rounded.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Tensor:
        given = (x for x in (*args, *kwargs.values()) if isinstance(x, TensorState))
        half = next((x.value.type.dtype for x in given), F32)
        if not is_half(half):
            return function(*args, **kwargs)

        def wide(item: Any) -> Any:
            mine = isinstance(item, TensorState) and item.value.type.dtype == half
            return cast(item, F32) if mine else item

        named = {key: wide(item) for key, item in kwargs.items()}
        return cast(function(*map(wide, args), **named), half)

    return run


def view(name: str, x: Tensor, **attrs: Any) -> Tensor:
    """As ``apply``, for an op whose result shares its operand's memory, as PyTorch's views do."""
    out = apply(name, x, **attrs)
    if modes.trace is not None:
        modes.trace.note_view(out, x)
        return out
    array, source = out._cell.array, x._cell.array
    if array is not None and source is not None and np.may_share_memory(array, source):
        value = out.value
        out._cell = Cell(array, x._cell.counter, x._cell.home, partial=True)
        value.placed(out._cell, x._cell.counter.version)
    return out


def scalar(like: Tensor, number: Number, dtype: DType, shape: Shape = ()) -> Tensor:
    """A number as a tensor of ``dtype`` and ``shape``, on the tape of nothing."""
    if isinstance(number, Scalar):
        node = make.cast(number.node, dtype)
    elif isinstance(number, Dim):
        node = make.size(number, dtype)
    else:
        node = make.constant(wrapped(number, dtype), dtype)
    if modes.trace is not None:
        if shape:
            node = make.broadcast(node, shape, ())
        return like._plain._from_value(Value(node.type, None, node))
    array = np.full(known_sizes(shape), node.attrs["value"], dtype)
    return like._plain._from_array(array)


def wrapped(number: float, dtype: DType) -> float:
    """A Python integer as the integer ``dtype`` holds it: -1 is 255 in uint8, as in PyTorch."""
    if not isinstance(number, int) or dtype.kind not in "iu":
        return number
    bits = 8 * dtype.itemsize
    low = -(1 << bits - 1) if dtype.kind == "i" else 0
    return (number - low) % (1 << bits) + low


def known_sizes(shape: Shape) -> tuple[int, ...]:
    """A shape outside a trace, where no size is symbolic."""
    return tuple(evaluate(size, {}) for size in shape)


def operands(*items: Any, dtype: DType | None = None, op: str = "") -> list[Tensor]:
    """Tensors and numbers as tensors of one dtype (promoted, or ``dtype``) and one shape."""
    must_be_tensors(op, items)
    like: Any = next((x for x in items if isinstance(x, TensorState)), TensorState._plain)
    tensors = [x for x in items if isinstance(x, TensorState)]
    if not tensors and op not in TWO_NUMBERS:
        raise DTypeError(message(user_location(), f"{op or 'this'}() takes a tensor"))
    if dtype is None:
        dtype = common_dtype(items)
    shape = broadcast_shape([t.value.type for t in tensors], op) if tensors else ()
    out: list[Any] = []
    item: Any
    for item in items:
        if isinstance(item, TensorState):
            tensor: Any = item
            out.append(expand_to(cast(tensor, dtype), shape))
        elif isinstance(item, int | float | Scalar | Dim):
            out.append(scalar(like, item, dtype, shape))
        elif isinstance(item, np.ndarray | np.generic):
            other = like._plain._from_array(np.asarray(item))
            return operands(*[other if x is item else x for x in items], dtype=dtype, op=op)
        else:
            raise DTypeError(
                message(user_location(), f"a tensor cannot combine with {type(item).__name__}")
            )
    return out


def must_be_tensors(op: str, items: Sequence[Any]) -> None:
    """DTypeError where ``op`` takes tensors only and PyTorch refuses a number, too."""
    for place, item in enumerate(items[: TENSORS.get(op, 0)], 1):
        if not isinstance(item, TensorState | np.ndarray):
            text = f"{op}() takes a tensor as operand {place}, not {type(item).__name__}"
            hint = f"engine.tensor({item})" if isinstance(item, int | float) else ""
            raise DTypeError(message(user_location(), text, hint))


def common_dtype(items: Sequence[Any]) -> DType:
    """PyTorch's promotion over tensors and numbers."""
    wide: list[DType] = []
    narrow: list[DType] = []
    numbers: list[DType] = []
    for item in items:
        if isinstance(item, TensorState):
            kind = item.value.type
            (wide if kind.shape else narrow).append(kind.dtype)
        elif isinstance(item, np.ndarray | np.generic):
            (wide if item.ndim else narrow).append(item.dtype)
        elif isinstance(item, Scalar):
            numbers.append(of_number(1.0))
        elif isinstance(item, Dim):
            numbers.append(of_number(1))
        else:
            numbers.append(of_number(item))
    return promote(wide, narrow, numbers)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """``x`` as ``dtype``; ``x`` itself where it already is."""
    return x if x.value.type.dtype == dtype else apply("cast", x, dtype=dtype)


def broadcast_shape(types: Sequence[TensorType], op: str = "") -> Shape:
    """The shape that all of ``types`` broadcast to, aligned at the last axis; ``op`` asks."""
    shapes = [kind.shape for kind in types]
    if all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    rank = max(len(shape) for shape in shapes)
    out: list[Size] = []
    for axis in range(-rank, 0):
        size: Size = 1
        for shape in shapes:
            other = shape[axis] if -axis <= len(shape) else 1
            if other in (1, size):
                continue
            if size != 1:
                listed = ", ".join(str(kind) for kind in types)
                raise ShapeError(
                    message(
                        user_location(),
                        f"{op or 'broadcast'}({listed}): shapes do not broadcast, sizes {size} "
                        f"and {other} at axis {axis + rank}",
                        "sizes must be equal, or one of them 1",
                    )
                )
            size = other
        out.append(size)
    return tuple(out)


def expand_to(x: Tensor, shape: Shape) -> Tensor:
    """``x`` repeated to ``shape``, aligned at the last axis."""
    own = x.value.type.shape
    if own == shape:
        return x
    axes = tuple(range(len(shape) - len(own), len(shape)))
    return apply("broadcast", x, shape=tuple(shape), axes=axes)


def broadcast_together(*tensors: Tensor, op: str = "") -> list[Tensor]:
    """The tensors, all repeated to their common shape; dtypes stay."""
    shape = broadcast_shape([t.value.type for t in tensors], op)
    return [expand_to(t, shape) for t in tensors]


def axis_of(dim: int, rank: int) -> int:
    """The axis that a possibly negative ``dim`` names; IndexError outside the rank."""
    if not -max(rank, 1) <= dim < max(rank, 1):
        text = f"dimension {dim} is out of range for {rank} dimensions"
        raise OutOfRange(message(user_location(), text))
    return dim % rank if rank else 0


def axes_of(dim: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """The axes of a reduction: all for None."""
    if dim is None or rank == 0:
        return tuple(range(rank))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    return tuple(sorted(axis_of(d, rank) for d in dims)) if dims else tuple(range(rank))


def describe(x: Tensor) -> str:
    """``f32[64,10]``."""
    return f"{short(x.value.type.dtype)}[{','.join(map(str, x.value.type.shape))}]"
