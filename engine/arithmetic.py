"""Tensors and numbers in, elementwise results out, with PyTorch's promotion and broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.dispatch import (
    Operand,
    apply,
    broadcast_together,
    cast,
    common_dtype,
    must_be_tensors,
    operands,
    scalar,
)
from engine.division import filled, floor_quotient, modulus, trunc_quotient, whole_power
from engine.dtypes import float32
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.scalar import Scalar
from engine.state import TensorState
from ir.types import BOOL, DTYPES, I64, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor


def _floating(x: Tensor) -> Tensor:
    return x if is_float(x.value.type.dtype) else cast(x, float32)


def _scaled(other: Any, alpha: Any) -> Any:
    """``alpha * other``; a run-time scalar is not compared, which would specialise on it."""
    return other if isinstance(alpha, int | float) and alpha == 1 else other * alpha


def add(x: Tensor, other: Operand, *, alpha: Operand = 1) -> Tensor:
    """``x + alpha * other``."""
    a, b = operands(x, _scaled(other, alpha), op="add")
    if a.value.type.dtype == BOOL:
        return apply("or", a, b)
    return apply("add", a, b)


def sub(x: Operand, other: Operand, *, alpha: Operand = 1) -> Tensor:
    """``x - alpha * other``."""
    return apply("sub", *operands(x, _scaled(other, alpha), op="sub"))


def rsub(x: Tensor, other: Operand, *, alpha: Operand = 1) -> Tensor:
    """``other - alpha * x``."""
    must_be_tensors("rsub", (x,))
    return sub(other, _scaled(x, alpha))


def mul(x: Tensor, other: Operand) -> Tensor:
    """``x * other``."""
    a, b = operands(x, other, op="mul")
    if a.value.type.dtype == BOOL:
        return apply("and", a, b)
    return apply("mul", a, b)


def _quotient(x: Operand, y: Operand) -> Tensor:
    dtype = common_dtype([x, y])
    a, b = operands(x, y, dtype=dtype if is_float(dtype) else float32, op="div")
    return apply("div", a, b)


def div(x: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """``x / other``; integers divide as float32. ``rounding_mode``: None, "floor" or "trunc"."""
    if rounding_mode is None:
        return _quotient(x, other)
    if rounding_mode not in {"floor", "trunc"}:
        text = f"div(): rounding_mode must be None, 'floor' or 'trunc', not {rounding_mode!r}"
        raise ShapeError(message(user_location(), text))
    a, b = _countable(x, other, "div")
    return floor_quotient(a, b) if rounding_mode == "floor" else trunc_quotient(a, b)


def _countable(x: Operand, other: Operand, op: str) -> list[Tensor]:
    """Operands of one type; bools as int64, which PyTorch's quotients of bools are close to."""
    dtype = common_dtype([x, other])
    return operands(x, other, dtype=I64 if dtype == BOOL else dtype, op=op)


def rdiv(x: Tensor, other: Operand) -> Tensor:
    """``other / x``."""
    return _quotient(other, x)


def floor_divide(x: Operand, other: Operand) -> Tensor:
    """``floor(x / other)`` in the promoted dtype, exact for integers."""
    return floor_quotient(*_countable(x, other, "floor_divide"))


def remainder(x: Operand, other: Operand) -> Tensor:
    """``x - other * floor(x / other)``, exact: the sign is the divisor's, as in Python."""
    return modulus(*_countable(x, other, "remainder"))


def rfloor_divide(x: Tensor, other: Operand) -> Tensor:
    """``other // x``."""
    return floor_divide(other, x)


def rremainder(x: Tensor, other: Operand) -> Tensor:
    """``other % x``."""
    return remainder(other, x)


_POWERS: dict[float, Any] = {
    1: lambda x: x,
    2: lambda x: apply("mul", x, x),
    3: lambda x: apply("mul", apply("mul", x, x), x),
    0.5: lambda x: apply("sqrt", x),
    -1: lambda x: rdiv(x, 1),
    -0.5: lambda x: rdiv(apply("sqrt", x), 1),
    -2: lambda x: rdiv(apply("mul", x, x), 1),
}


def pow(x: Tensor, exponent: Operand) -> Tensor:
    """``x ** exponent``; small constant exponents become products and roots."""
    if isinstance(exponent, int | float) and isinstance(x, TensorState):
        dtype = common_dtype([x, exponent])
        if exponent in _POWERS and (is_float(dtype) or exponent in {1, 2, 3}):
            out: Tensor = _POWERS[exponent](cast(x, dtype))
            return out if out is not x else out.clone()
        if isinstance(exponent, int) and not is_float(dtype):
            return _product(cast(x, dtype), exponent)
    return _power(x, exponent)


def _product(x: Tensor, times: int) -> Tensor:
    """``x`` multiplied ``times`` times, by squaring."""
    if times < 0:
        text = "integers to negative integer powers are not allowed"
        raise ShapeError(message(user_location(), text))
    out = filled(x, 1)
    while times:
        out = apply("mul", out, x) if times % 2 else out
        x, times = apply("mul", x, x), times // 2
    return out


def rpow(x: Tensor, base: Operand) -> Tensor:
    """``base ** x``."""
    return _power(base, x)


def _power(base: Operand, exponent: Operand) -> Tensor:
    a, b = operands(base, exponent, op="pow")
    dtype = a.value.type.dtype
    if is_float(dtype):
        return apply("pow", a, b)
    return whole_power(a, b)


def maximum(x: Tensor, other: Operand) -> Tensor:
    """The larger of each pair; NaN where either is."""
    a, b = operands(x, other, op="maximum")
    return apply("or" if a.value.type.dtype == BOOL else "maximum", a, b)


def minimum(x: Tensor, other: Operand) -> Tensor:
    """The smaller of each pair; NaN where either is."""
    a, b = operands(x, other, op="minimum")
    return apply("and" if a.value.type.dtype == BOOL else "minimum", a, b)


def _comparison(name: str) -> Callable[[Tensor, Operand], Tensor]:
    def compare(x: Tensor, other: Operand) -> Tensor:
        a, b = operands(x, other, op=name)
        if a.value.type.dtype == BOOL and name not in {"eq", "ne"}:
            a, b = cast(a, DTYPES["u8"]), cast(b, DTYPES["u8"])
        return apply(name, a, b)

    compare.__name__ = name
    compare.__doc__ = f"``{name}`` of each pair, as a bool tensor."
    return compare


eq, ne, lt, le, gt, ge = map(_comparison, ("eq", "ne", "lt", "le", "gt", "ge"))


def equals(x: Tensor, other: Any) -> Any:
    """``==``: elementwise; False for what is no tensor and no number (such as None)."""
    if isinstance(other, TensorState | int | float | Scalar) or hasattr(other, "__array__"):
        return eq(x, other)
    return NotImplemented


def differs(x: Tensor, other: Any) -> Any:
    """``!=``: elementwise."""
    if isinstance(other, TensorState | int | float | Scalar) or hasattr(other, "__array__"):
        return ne(x, other)
    return NotImplemented


def _logic(name: str) -> Callable[[Tensor, Operand], Tensor]:
    def combine(x: Tensor, other: Operand) -> Tensor:
        return apply(name, *operands(x, other, op=name))

    combine.__name__ = name
    combine.__doc__ = f"Bitwise (on bools: logical) ``{name}``."
    return combine


logical_and, logical_or, logical_xor = map(_logic, ("and", "or", "xor"))


def reflected(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``function``, whose operands may change places, as the method ``name`` of the second."""

    def method(x: Tensor, other: Operand) -> Tensor:
        must_be_tensors(name, (x,))
        return function(x, other)

    method.__name__ = name
    method.__doc__ = f"``{name}``: the operator where the tensor stands on the right."
    return method


def logical_not(x: Tensor) -> Tensor:
    """``~x`` for bool tensors."""
    if x.value.type.dtype != BOOL:
        raise DTypeError(message(user_location(), f"~ takes a bool tensor, not {x.dtype}"))
    return apply("not", x)


def neg(x: Tensor) -> Tensor:
    """``-x``."""
    return apply("neg", x)


def abs(x: Tensor) -> Tensor:
    """The absolute value."""
    return apply("abs", x)


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; 0 for NaN, as in PyTorch."""
    if x.value.type.dtype == BOOL:
        return x.clone()
    out = apply("sign", x)
    return apply("select", isnan(x), filled(out, 0), out) if is_float(out.dtype) else out


def _float_op(name: str) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        return apply(name, _floating(x))

    function.__name__ = name
    function.__doc__ = f"``{name}`` of each element; integers become float32."
    return function


exp, expm1, log, log1p, sqrt, sin, cos, tanh, erf = map(
    _float_op, ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf")
)


def floor(x: Tensor) -> Tensor:
    """The next whole number below; integers as they are."""
    return apply("floor", x) if is_float(x.value.type.dtype) else x.clone()


def ceil(x: Tensor) -> Tensor:
    """The next whole number above; integers as they are."""
    return apply("ceil", x) if is_float(x.value.type.dtype) else x.clone()


def rsqrt(x: Tensor) -> Tensor:
    """``1 / sqrt(x)``."""
    return rdiv(sqrt(x), 1)


def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``."""
    return rdiv(x, 1)


def square(x: Tensor) -> Tensor:
    """``x * x``; bools as int64."""
    return pow(x, 2)


def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``, NaN kept."""
    if is_float(x.value.type.dtype):
        return apply("relu", x)
    return maximum(x, filled(x, 0))


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return apply("sigmoid", _floating(x))


def clamp(x: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """``x`` limited to [min, max] (to ``max`` where that is less); NaN where either is.

    The gradient passes inside, ends included.
    """
    given = [x, *(end for end in (min, max) if end is not None)]
    if len(given) == 1:
        raise ShapeError(message(user_location(), "clamp() needs min or max"))
    dtype = common_dtype(given)
    wide = DTYPES["u8"] if dtype == BOOL else dtype
    x = operands(*given, dtype=wide, op="clamp")[0]
    for name, end in (("lt", min), ("gt", max)):
        if end is None:
            continue
        x, limit = operands(x, end, dtype=wide, op="clamp")
        x = _limited(name, x, limit, isinstance(end, TensorState))
    return cast(x, dtype)


def _limited(beyond: str, x: Tensor, limit: Tensor, varies: bool) -> Tensor:
    if x.requires_grad or limit.requires_grad:  # NaN passes none
        inside = apply("ge" if beyond == "lt" else "le", x, limit)
        limit = apply("select", isnan(x), filled(x, float("nan")), limit)
        return apply("select", inside, x, limit)
    past = apply(beyond, x, limit)
    if varies:
        past = apply("or", past, apply("ne", limit, limit))
    return apply("select", past, limit, x)


def where(condition: Tensor, x: Operand, y: Operand) -> Tensor:
    """``x`` where ``condition`` holds, else ``y``; all three broadcast."""
    if not isinstance(x, TensorState) and not isinstance(y, TensorState):
        dtype = common_dtype([x, y])
        x = scalar(condition, x, dtype)
    a, b = operands(x, y, op="where")
    shaped, a, b = broadcast_together(condition, a, b, op="where")
    return apply("select", shaped, a, b)


def masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """``value`` where ``mask`` holds, else ``x``."""
    kind = x.value.type
    filler = value if isinstance(value, TensorState) else scalar(x, value, kind.dtype)
    if filler.value.type.shape:
        text = f"masked_fill() takes a number or a 0-d tensor, not {filler.value.type}"
        raise ShapeError(message(user_location(), text))
    shaped, a, b = broadcast_together(mask, cast(filler, kind.dtype), x, op="masked_fill")
    return apply("select", shaped, a, b)


def isnan(x: Tensor) -> Tensor:
    """Whether each element is NaN."""
    return apply("ne", x, x)


def isfinite(x: Tensor) -> Tensor:
    """Whether each element is neither NaN nor infinite."""
    return eq(x - x, 0) if is_float(x.value.type.dtype) else eq(x, x)
