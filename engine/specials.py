"""Tensors in, elementwise functions beyond the op table out: each a few lines of the table's ops.

Formulas are the ones that keep their digits near zero and do not overflow early; gradients are
those of the formulas. Shapes: the result has the operands' broadcast shape.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.arithmetic import (
    abs,
    add,
    ceil,
    clamp,
    div,
    exp,
    floor,
    ge,
    isfinite,
    isnan,
    log,
    log1p,
    lt,
    maximum,
    mul,
    rpow,
    rsub,
    sign,
    sqrt,
    sub,
    where,
)
from engine.dispatch import (
    Operand,
    apply,
    cast,
    common_dtype,
    must_be_tensors,
    operands,
    rounded_once,
)
from engine.dtypes import float32
from ir.types import F64, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "absolute",
    "addcdiv",
    "addcmul",
    "clamp_max",
    "clamp_min",
    "clip",
    "copysign",
    "divide",
    "exp2",
    "fix",
    "float_power",
    "fmax",
    "fmin",
    "fmod",
    "frac",
    "heaviside",
    "hypot",
    "ldexp",
    "lerp",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logit",
    "multiply",
    "nan_to_num",
    "negative",
    "positive",
    "round",
    "rsub",
    "sgn",
    "subtract",
    "true_divide",
    "trunc",
    "xlog1py",
    "xlogy",
]


def floating(x: Tensor) -> Tensor:
    """Integers and bools as float32, floats as they are."""
    return x if is_float(x.value.type.dtype) else cast(x, float32)


def floats(*items: Operand, op: str = "") -> list[Tensor]:
    """As ``operands``, integers and bools as float32."""
    must_be_tensors(op, items)
    dtype = common_dtype(items)
    return operands(*items, dtype=dtype if is_float(dtype) else float32, op=op)


def negative_sign(x: Tensor) -> Tensor:
    """Whether the sign is minus, that of -0.0 included."""
    return where(x == 0, lt(1.0 / where(x == 0, x, 1.0), 0), lt(x, 0))


def exp2(x: Tensor) -> Tensor:
    """``2 ** x``."""
    return rpow(floating(x), 2)


def log2(x: Tensor) -> Tensor:
    """The logarithm to base 2."""
    return mul(log(x), 1 / math.log(2))


def log10(x: Tensor) -> Tensor:
    """The logarithm to base 10."""
    return mul(log(x), 1 / math.log(10))


@rounded_once
def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, ``x`` limited to [eps, 1 - eps] where ``eps`` is given."""
    x = floating(x)
    if eps is not None:
        low, high = lt(x, eps), x > 1 - eps
        x = where(low, eps, where(high, 1 - eps, x))
    ends, outside = (x == 0) | (x == 1), lt(x, 0) | (x > 1)
    inner = where(ends, 0.5, x) * cast(
        where(outside, math.nan, 1.0), x.dtype
    )  # its gradient is NaN, too
    end = where(ends, x, 0.5)
    return where(ends, log(end) - log(1 - end), log(inner / (1 - inner)))


def trunc(x: Tensor) -> Tensor:
    """Rounded towards zero."""
    if not is_float(x.value.type.dtype):
        return x.clone()
    return where(lt(x, 0), ceil(x), floor(x))


def frac(x: Tensor) -> Tensor:
    """``x - trunc(x)``."""
    return sub(x, trunc(x))


def round(x: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, halves to the even one."""
    if not is_float(x.value.type.dtype):
        return x.clone()
    if decimals:
        scale = 10.0 ** builtin_abs(decimals)
        return round(x * scale) / scale if decimals > 0 else round(x / scale) * scale
    low = floor(x)
    rest = x - low
    odd = low - floor(low * 0.5) * 2
    return where(where(rest == 0.5, odd == 1, rest > 0.5), low + 1, low)


def builtin_abs(value: int) -> int:
    """The absolute value of a Python number: ``abs`` is the tensor's here."""
    return value if value >= 0 else -value


def fmod(x: Tensor, other: Operand) -> Tensor:
    """The remainder with the sign of ``x``, as C's ``fmod``."""
    a, b = operands(x, other, op="fmod")
    dtype = a.value.type.dtype
    wide = dtype if is_float(dtype) else F64
    return cast(apply("fmod", cast(a, wide), cast(b, wide)), dtype)


def lerp(x: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """``x + weight * (end - x)``, exact at both ends."""
    a, b, w = operands(x, end, weight, op="lerp")
    way = b - a
    return where(abs(w) < 0.5, a + w * way, b - way * (1 - w))


def addcmul(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Operand = 1) -> Tensor:
    """``x + value * tensor1 * tensor2``."""
    return add(x, mul(tensor1, tensor2), alpha=value)


def addcdiv(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Operand = 1) -> Tensor:
    """``x + value * tensor1 / tensor2``."""
    return add(x, div(tensor1, tensor2), alpha=value)


def logaddexp(x: Tensor, other: Tensor) -> Tensor:
    """``log(e**x + e**other)`` without overflow."""
    a, b = floats(x, other, op="logaddexp")
    high = maximum(a.detach(), b.detach())
    high = where(abs(high) == math.inf, 0.0, high)
    return log(exp(a - high) + exp(b - high)) + high


def logaddexp2(x: Tensor, other: Tensor) -> Tensor:
    """``log2(2**x + 2**other)`` without overflow."""
    must_be_tensors("logaddexp2", (x, other))
    return logaddexp(mul(x, math.log(2)), mul(other, math.log(2))) / math.log(2)


def hypot(x: Tensor, other: Tensor) -> Tensor:
    """``sqrt(x**2 + other**2)`` without overflow."""
    a, b = floats(x, other, op="hypot")
    infinite = (abs(a) == math.inf) | (abs(b) == math.inf)
    high = maximum(abs(a.detach()), abs(b.detach()))
    scale = where((high == 0) | (high == math.inf), 1.0, high)
    a, b = a / scale, b / scale
    out = sqrt(a * a + b * b) * scale
    return where(infinite, math.inf, out)


def xlogy(x: Operand, other: Operand) -> Tensor:
    """``x * log(other)``, 0 where ``x`` is 0 and ``other`` is no NaN."""
    a, b = floats(x, other)
    zero = (a == 0) & ~isnan(b)
    return where(zero, 0.0, a * log(where(zero, 1.0, b)))


def xlog1py(x: Operand, other: Operand) -> Tensor:
    """``x * log1p(other)``, 0 where ``x`` is 0 and ``other`` is no NaN."""
    a, b = floats(x, other)
    zero = (a == 0) & ~isnan(b)
    return where(zero, 0.0, a * log1p(where(zero, 0.0, b)))


def heaviside(x: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, ``values`` at zero."""
    a, b = operands(x, values, op="heaviside")
    return where(a == 0, b, cast(a > 0, a.dtype))


def copysign(x: Tensor, other: Operand) -> Tensor:
    """The size of ``x`` with the sign of ``other``, that of -0.0 included."""
    a, b = floats(x, other, op="copysign")
    out = where(negative_sign(a) == negative_sign(b), a, -a)
    return _by_quotient(a, out) if a.requires_grad else out


def _by_quotient(x: Tensor, out: Tensor) -> Tensor:
    """``out``, of the size of ``x``; its derivative is ``out / x`` as in PyTorch: 0 at 0, and
    NaN at infinities."""
    known = isfinite(x)
    far = where(known, 1.0, x)
    size = sqrt(far * far)
    far = where(negative_sign(out), -size, size)
    return where(known, where(x == 0, out.detach(), out), far)


def nan_to_num(
    x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN and infinities replaced: by 0 and by the largest finite values, unless told."""
    if not is_float(x.value.type.dtype):
        return x.clone()
    limit = _largest(x)
    x = where(isnan(x), nan, x)
    x = where(x == math.inf, limit if posinf is None else posinf, x)
    return where(x == -math.inf, -limit if neginf is None else neginf, x)


def _largest(x: Tensor) -> float:
    digits, powers = (53, 1024) if x.value.type.dtype == F64 else (24, 128)
    return (2.0 - 2.0 ** (1 - digits)) * 2.0 ** (powers - 1)


def fmax(x: Tensor, other: Tensor) -> Tensor:
    """The larger of each pair, the other one where one is NaN."""
    a, b = operands(x, other, op="fmax")
    return where(ge(a, b) | isnan(b), a, b)


def fmin(x: Tensor, other: Tensor) -> Tensor:
    """The smaller of each pair, the other one where one is NaN."""
    a, b = operands(x, other, op="fmin")
    return where((a <= b) | isnan(b), a, b)


def clamp_min(x: Tensor, min: Operand) -> Tensor:
    """``x``, at least ``min``."""
    return clamp(x, min=min)


def clamp_max(x: Tensor, max: Operand) -> Tensor:
    """``x``, at most ``max``."""
    return clamp(x, max=max)


def sgn(x: Tensor) -> Tensor:
    """-1, 0 or 1; 0 for NaN."""
    return sign(x)


def float_power(x: Operand, exponent: Operand) -> Tensor:
    """``x ** exponent`` in float64."""
    a, b = operands(x, exponent, dtype=F64, op="float_power")
    return apply("pow", a, b)


def ldexp(x: Tensor, other: Tensor) -> Tensor:
    """``x * 2**other``."""
    must_be_tensors("ldexp", (x, other))
    return mul(x, exp2(other))


def true_divide(x: Tensor, other: Operand) -> Tensor:
    """``x / other``."""
    return div(x, other)


def positive(x: Tensor) -> Tensor:
    """``x`` itself."""
    return x


def negative(x: Tensor) -> Tensor:
    """``-x``."""
    return apply("neg", x)


fix = trunc
absolute, clip, divide, multiply, subtract = abs, clamp, div, mul, sub
