"""What every function on matrices asks of its operands, and the cuts of packed factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.arithmetic import masked_fill
from engine.creation import eye, full
from engine.dispatch import broadcast_shape, describe, expand_to
from engine.errors import DTypeError, Unsupported, message
from engine.locate import user_location
from engine.products import fail
from engine.rearrange import narrow, select
from ir.dims import Size
from ir.types import is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor


def floats(x: Tensor, name: str) -> None:
    """An error unless the elements are floats."""
    if not is_float(x.value.type.dtype):
        raise DTypeError(message(user_location(), f"{name}({describe(x)}) takes float tensors"))


def ranked(x: Tensor, name: str) -> tuple[Size, ...]:
    """The shape of a batch of matrices."""
    shape = x.value.type.shape
    if len(shape) < 2:
        raise fail(f"{name}({describe(x)}) takes at least 2 dimensions")
    return shape


def matrices(x: Tensor, name: str) -> tuple[Size, ...]:
    """The shape of a batch of float matrices."""
    floats(x, name)
    return ranked(x, name)


def squares(x: Tensor, name: str) -> tuple[Size, ...]:
    """The shape of a batch of square float matrices."""
    shape = matrices(x, name)
    if shape[-1] != shape[-2]:
        raise fail(f"{name}({describe(x)}) takes square matrices")
    return shape


def sides(x: Tensor, name: str) -> tuple[int, int]:
    """The rows and columns of each matrix, as numbers; symbolic sizes are not offered."""
    height, width = ranked(x, name)[-2:]
    if not isinstance(height, int) or not isinstance(width, int):
        text = f"{name}({describe(x)}) takes matrices whose sizes are known"
        raise Unsupported(message(user_location(), text))
    return height, width


def identity(like: Tensor, name: str) -> Tensor:
    """Ones on the diagonals, zeros elsewhere; the gradient for ``like`` is zero, not absent."""
    nothing = masked_fill(like, full(like.shape, True), 0)
    return nothing + eye(*sides(like, name), dtype=like.dtype)


def same_dtype(a: Tensor, b: Tensor, name: str) -> None:
    """An error unless both have one dtype."""
    if a.value.type.dtype != b.value.type.dtype:
        text = f"{name}({describe(a)}, {describe(b)}) takes tensors of one dtype"
        raise DTypeError(message(user_location(), text))


def one_batch(a: Tensor, b: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both, repeated to their common batch."""
    left, right = a.value.type, b.value.type
    batch = broadcast_shape(
        [left.with_shape(left.shape[:-2]), right.with_shape(right.shape[:-2])], name
    )
    one = expand_to(a, (*batch, *left.shape[-2:]))
    return one, expand_to(b, (*batch, *right.shape[-2:]))


def rows(x: Tensor, start: Any, count: Any) -> Tensor:
    """Rows of each matrix."""
    return narrow(x, -2, start, count)


def columns(x: Tensor, start: Any, count: Any) -> Tensor:
    """Columns of each matrix."""
    return narrow(x, -1, start, count)


def row(x: Tensor, at: Any) -> Tensor:
    """One row of each matrix."""
    return select(x, -2, at)


def column(x: Tensor, at: Any) -> Tensor:
    """One column of each matrix."""
    return select(x, -1, at)
