"""Shapes, lists and arrays in, new tensors out.

PyTorch's keywords about memory (``device``, ``layout``, ``pin_memory``, ``memory_format``) are
taken and checked. A tensor that the user's code makes without a device is the CPU's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from engine.arithmetic import rpow, where
from engine.dispatch import cast, expand_to, known_sizes, wrapped
from engine.dtypes import as_dtype, float32, int64
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.moving import moved, pin, settled
from engine.placement import Placement, check, default_home
from engine.scalar import Scalar
from engine.shaping import sizes, stack
from engine.state import TensorState
from engine.storage import CPU, Value
from ir import make
from ir.dims import Dim, Size
from ir.types import F64, DType, dtype_of, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor


def leaf(x: Tensor, requires_grad: bool, place: Placement | None = None) -> Tensor:
    """``x`` where it is to be, with the gradient wish set."""
    home = check(place) if place else None
    if home is None and modes.trace is None and x._cell.home is None:
        home = default_home()
    x = settled(x, home)
    if place and place.get("pin_memory"):
        x = pin(x)
    return x.requires_grad_() if requires_grad else x


def beside(x: Tensor, place: Placement) -> Placement:
    """``place``; on the device of ``x`` where it names none."""
    home = x.value.home
    return place if home is None or place.get("device") is not None else {**place, "device": home}


def tensor(
    data: Any, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """A copy of ``data``: lists of floats become float32, of ints int64, arrays keep theirs."""
    if isinstance(data, TensorState):
        given: Any = data
        made = _converted(given.detach().clone(), dtype)
        home = check(place)
        return leaf(made if home is None else moved(made, home), requires_grad)
    if isinstance(data, Scalar):
        return full((), data, dtype=dtype or float32, requires_grad=requires_grad, **place)
    if isinstance(data, list | tuple) and _holds_tensor(data):
        made = _converted(stack([tensor(item) for item in data]), dtype)
        return leaf(made, requires_grad, place)
    wanted = None if dtype is None else as_dtype(dtype)
    array = np.array(data, wanted)
    if wanted is None and not isinstance(data, np.ndarray | np.generic):
        natural = {"f": float32, "i": int64}.get(array.dtype.kind)
        array = array if natural is None else array.astype(natural, copy=False)
        if array.size == 0:
            array = array.astype(float32)
    made = _concrete(array)
    if modes.home != CPU and made._cell.home is not None and place.get("device") is None:
        place = {**place, "device": modes.home}
    return leaf(made, requires_grad, place)


def _holds_tensor(data: Sequence[Any]) -> bool:
    return any(isinstance(item, TensorState | Scalar) for item in data)


def _converted(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else cast(x, as_dtype(dtype))


def _concrete(array: Any) -> Tensor:
    try:
        dtype_of(array.dtype)
    except TypeError as error:
        raise DTypeError(message(user_location(), str(error))) from None
    made = TensorState._plain._from_array(array)
    made._cell.home = None if modes.trace is not None or default_home() is None else CPU
    return made


def as_tensor(data: Any, dtype: Any = None, **place: Unpack[Placement]) -> Tensor:
    """``data`` as a tensor, sharing its memory where it can."""
    home = check(place)
    if isinstance(data, TensorState):
        given: Any = data
        return _converted(given if home is None else moved(given, home), dtype)
    if isinstance(data, np.ndarray):
        made = _converted(from_numpy(data), dtype)
        return made if home is None else moved(made, home)
    return tensor(data, dtype, **place)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``obj`` as a tensor; a copy where ``copy`` asks for one."""
    made = tensor(obj, dtype, **place) if copy else as_tensor(obj, dtype, **place)
    return leaf(made.detach() if made.requires_grad else made, requires_grad)


def from_numpy(array: Any) -> Tensor:
    """A tensor over the memory of ``array``."""
    return _concrete(array)


def scalar_tensor(
    s: Any, *, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """A number as a 0-d tensor, float32 unless told."""
    return full((), s, dtype or float32, requires_grad, **place)


def full(
    size: int | Sequence[Size],
    fill_value: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``fill_value`` everywhere; its Python type gives the dtype."""
    shape = _shape((size,))
    if isinstance(fill_value, TensorState):
        value: Any = fill_value
        spread = expand_to(_converted(value.detach(), dtype), shape).clone()
        home = check(place)
        return leaf(spread if home is None else moved(spread, home), requires_grad)
    kind = as_dtype(dtype) if dtype is not None else _natural(fill_value)
    plain = TensorState._plain
    if modes.trace is None:
        array = np.full(known_sizes(shape), wrapped(fill_value, kind), kind)
        return leaf(plain._from_array(array), requires_grad, place)
    node = make.cast(fill_value.node, kind) if isinstance(fill_value, Scalar) else None
    if node is None:
        node = make.constant(wrapped(fill_value, kind), kind)
    node = make.broadcast(node, shape, ()) if shape else node
    return leaf(plain._from_value(Value(node.type, None, node)), requires_grad, place)


def _shape(size: Sequence[Any]) -> tuple[Size, ...]:
    shape = sizes(size)
    if any(isinstance(s, int) and s < 0 for s in shape):
        raise ShapeError(message(user_location(), f"sizes must not be negative: {list(shape)}"))
    return shape


def _natural(value: Any) -> DType:
    if isinstance(value, bool):
        return as_dtype(bool)
    if isinstance(value, complex):
        raise DTypeError(message(user_location(), "there are no complex tensors"))
    return int64 if isinstance(value, int) else float32


def zeros(
    *size: Any, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """Zeros, float32 unless told."""
    return full(sizes(size), 0, dtype or float32, requires_grad, **place)


def ones(
    *size: Any, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """Ones, float32 unless told."""
    return full(sizes(size), 1, dtype or float32, requires_grad, **place)


def empty(
    *size: Any, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """A tensor to be filled; it holds zeros, so that nothing depends on old memory.

    Differs from PyTorch: the memory holds zeros.
    """
    return full(sizes(size), 0, dtype or float32, requires_grad, **place)


def zeros_like(
    x: Tensor, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """Zeros of the type of ``x``."""
    return full(x.shape, 0, dtype or x.dtype, requires_grad, **beside(x, place))


def ones_like(
    x: Tensor, dtype: Any = None, requires_grad: bool = False, **place: Unpack[Placement]
) -> Tensor:
    """Ones of the type of ``x``."""
    return full(x.shape, 1, dtype or x.dtype, requires_grad, **beside(x, place))


empty_like = zeros_like


def full_like(
    x: Tensor,
    fill_value: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``fill_value`` with the type of ``x``."""
    return full(x.shape, fill_value, dtype or x.dtype, requires_grad, **beside(x, place))


def new_full(
    x: Tensor,
    size: Any,
    fill_value: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``fill_value`` in the shape ``size``, of the dtype of ``x``."""
    return full(size, fill_value, dtype or x.dtype, requires_grad, **beside(x, place))


def new_zeros(
    x: Tensor,
    *size: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Zeros of the dtype of ``x``."""
    return full(sizes(size), 0, dtype or x.dtype, requires_grad, **beside(x, place))


new_empty = new_zeros


def new_ones(
    x: Tensor,
    *size: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Ones of the dtype of ``x``."""
    return full(sizes(size), 1, dtype or x.dtype, requires_grad, **beside(x, place))


def new_tensor(
    x: Tensor,
    data: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """A copy of ``data``, of the dtype of ``x``."""
    return tensor(data, dtype or x.dtype, requires_grad, **beside(x, place))


def _number(value: Any) -> Any:
    """An end of a range as a number: 0-d tensors are read."""
    given: Any = value
    return given.item() if isinstance(value, TensorState) else value


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``start``, ``start + step``, ... below ``end``; int64 for ints, float32 for floats."""
    start, end = (0, start) if end is None else (start, end)
    start, end, step = _number(start), _number(end), _number(step)
    whole = all(isinstance(v, int | Dim) for v in (start, end, step))
    kind = as_dtype(dtype) if dtype is not None else int64 if whole else float32
    if whole or is_float(kind):
        count = _steps(start, end, step)
    else:  # PyTorch cuts the numbers first, but counts in floats unless they are int64
        cut = [int(v) for v in (start, end, step)]
        count = _steps(*(cut if kind == int64 else (start, end, step)))
        start, _, step = cut
    plain = TensorState._plain
    wide = F64 if is_float(kind) else kind
    if modes.trace is None:
        counted = np.arange(count, dtype=int64 if wide != F64 else F64)
        made = plain._from_array((start + step * counted).astype(kind))
        return leaf(made, requires_grad, place)
    node = make.iota((count,), 0, wide)
    run = plain._from_value(Value(node.type, None, node))
    run = run * step + start if (start, step) != (0, 1) else run
    return leaf(cast(run, kind), requires_grad, place)


def _steps(start: Any, end: Any, step: Any) -> Any:
    """How many steps fit before ``end``."""
    if isinstance(end, Dim) or isinstance(start, Dim):
        return (end - start) // step
    rule = ""
    if step == 0:
        rule = "the step must not be 0"
    elif not all(math.isfinite(v) for v in (start, end)):
        rule = "the ends must be finite"
    elif (end - start) * step < 0:
        rule = "the ends do not fit the sign of the step"
    if rule:
        raise ShapeError(message(user_location(), f"arange({start}, {end}, {step}): {rule}"))
    if all(isinstance(v, int) for v in (start, end, step)):
        return -((start - end) // step)
    return math.ceil((end - start) / step)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``steps`` evenly spaced values, ends included; the ends may be 0-d tensors (no gradient)."""
    kind = as_dtype(dtype or float32)
    return leaf(cast(_spaced(start, end, steps, kind), kind), requires_grad, place)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """``base`` to the power of ``steps`` evenly spaced values."""
    kind = as_dtype(dtype or float32)
    powers = rpow(_spaced(start, end, steps, F64), float(base))
    return leaf(cast(powers, kind), requires_grad, place)


def _spaced(start: Any, end: Any, steps: Any, kind: DType) -> Tensor:
    """float64, counted from both ends, so that the values lie symmetrically."""
    if not isinstance(steps, int):
        text = f"the number of steps must be an integer, not {steps!r}"
        raise DTypeError(message(user_location(), text))
    if steps < 0:
        raise ShapeError(message(user_location(), f"the number of steps is negative: {steps}"))
    near, far = (_end(value, kind) for value in (start, end))
    counted = np.arange(steps, dtype=F64)
    first = (counted < steps // 2) | (steps == 1)
    width = (far - near) / builtin_max(steps - 1, 1)
    left = TensorState._plain._from_array
    below = near + width * left(counted)
    return where(left(first), below, far - width * left(steps - 1 - counted))


builtin_max = max


def _end(value: Any, kind: DType) -> Tensor:
    """An end as a 0-d float64 tensor, cut to a whole number where integers are asked for."""
    made: Tensor = value.detach() if isinstance(value, TensorState) else full((), value, F64)
    if made.value.type.shape:
        raise ShapeError(message(user_location(), "the ends must be numbers or 0-d tensors"))
    return cast(made if is_float(kind) else cast(made, int64), F64)


def eye(
    n: int,
    m: int | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Ones on the diagonal."""
    _shape((n, n if m is None else m))
    made = TensorState._plain._from_array(np.eye(n, m, dtype=as_dtype(dtype or float32)))
    return leaf(made, requires_grad, place)
