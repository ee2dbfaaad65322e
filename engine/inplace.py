"""A tensor and what to write in, the same tensor with new contents out: ``add_``, ``+=``.

A write is the out-of-place op followed by one assignment, so it has the same gradient, and the
version counter of the memory tells a later ``backward`` that the old contents are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine import arithmetic
from engine.dispatch import Operand, cast, describe, expand_to, scalar
from engine.dtypes import KIND_RANK
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.random import normal_values, uniform_values

if TYPE_CHECKING:
    from engine.tensor import Tensor


def write(x: Tensor, result: Tensor) -> Tensor:
    """``x`` now holds ``result``: same shape, and a dtype that ``x`` can hold."""
    x._check_write()
    own, new = x.value.type, result.value.type
    if own.shape != new.shape:
        text = f"in-place result {describe(result)} does not fit into {describe(x)}"
        raise ShapeError(message(user_location(), text))
    if KIND_RANK[new.dtype.kind] > KIND_RANK[own.dtype.kind]:
        text = f"in-place result of dtype {new.dtype} cannot be stored as {own.dtype}"
        raise DTypeError(message(user_location(), text))
    return x._assign(cast(result, own.dtype).value)


def add_(x: Tensor, other: Operand, *, alpha: Operand = 1) -> Tensor:
    """``x += alpha * other``."""
    return write(x, arithmetic.add(x, other, alpha=alpha))


def sub_(x: Tensor, other: Operand, *, alpha: Operand = 1) -> Tensor:
    """``x -= alpha * other``."""
    return write(x, arithmetic.sub(x, other, alpha=alpha))


def mul_(x: Tensor, other: Operand) -> Tensor:
    """``x *= other``."""
    return write(x, arithmetic.mul(x, other))


def div_(x: Tensor, other: Operand) -> Tensor:
    """``x /= other``."""
    return write(x, arithmetic.div(x, other))


def pow_(x: Tensor, exponent: Operand) -> Tensor:
    """``x **= exponent``."""
    return write(x, arithmetic.pow(x, exponent))


def addcmul_(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Operand = 1) -> Tensor:
    """``x += value * tensor1 * tensor2``."""
    return add_(x, arithmetic.mul(tensor1, tensor2), alpha=value)


def addcdiv_(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Operand = 1) -> Tensor:
    """``x += value * tensor1 / tensor2``."""
    return add_(x, arithmetic.div(tensor1, tensor2), alpha=value)


def lerp_(x: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """``x += weight * (end - x)``."""
    return add_(x, arithmetic.mul(arithmetic.sub(end, x), weight))


def clamp_(x: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """``x`` limited to [min, max]."""
    return write(x, arithmetic.clamp(x, min, max))


def relu_(x: Tensor) -> Tensor:
    """``x`` with negative elements set to 0."""
    return write(x, arithmetic.relu(x))


def neg_(x: Tensor) -> Tensor:
    """``x = -x``."""
    return write(x, arithmetic.neg(x))


def exp_(x: Tensor) -> Tensor:
    """``x = exp(x)``."""
    return write(x, arithmetic.exp(x))


def sqrt_(x: Tensor) -> Tensor:
    """``x = sqrt(x)``."""
    return write(x, arithmetic.sqrt(x))


def masked_fill_(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """``value`` written where ``mask`` holds."""
    return write(x, arithmetic.masked_fill(x, mask, value))


def fill_(x: Tensor, value: Operand) -> Tensor:
    """Every element set to ``value``."""
    x._check_write()
    kind = x.value.type
    source = value if not isinstance(value, int | float) else scalar(x, value, kind.dtype)
    return copy_(x, source)


def zero_(x: Tensor) -> Tensor:
    """Every element set to 0."""
    return fill_(x, 0)


def copy_(x: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """The elements of ``source``, broadcast and cast, written into ``x``."""
    x._check_write()
    kind = x.value.type
    (source,) = _as_tensors(x, source)
    return x._assign(expand_to(cast(source, kind.dtype), kind.shape).value)


def _as_tensors(x: Tensor, source: Any) -> list[Tensor]:
    if hasattr(source, "value"):
        return [source]
    return [scalar(x, source, x.value.type.dtype)]


def uniform_(x: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Every element drawn from [a, b)."""
    x._check_write()
    kind = x.value.type
    drawn = uniform_values(kind.shape, kind.dtype)
    return x._assign((drawn * (b - a) + a).value)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Every element drawn from a normal distribution."""
    x._check_write()
    kind = x.value.type
    drawn = normal_values(kind.shape, kind.dtype)
    return x._assign((drawn * std + mean).value)
