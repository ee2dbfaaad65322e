"""Vectors, matrices and batches of them in, their products out: ``@`` in all ranks and its kin.

Float products are the one contraction op; products of whole numbers are sums of elementwise
products, exact modulo the dtype's range, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.dispatch import (
    Operand,
    apply,
    axis_of,
    broadcast_shape,
    cast,
    common_dtype,
    describe,
    expand_to,
)
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.shaping import permute, reshape, squeeze, unsqueeze
from engine.state import TensorState
from ir.ops.contraction import free_axes
from ir.types import is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "dot",
    "ger",
    "inner",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "vdot",
]


def fail(text: str) -> ShapeError:
    """The error for operands that do not fit, with the user's line."""
    return ShapeError(message(user_location(), text))


def rank_of(x: Tensor) -> int:
    """The number of axes."""
    return len(x.value.type.shape)


def contract(
    a: Tensor, b: Tensor, left: Sequence[int], right: Sequence[int], batch: Any = ((), ())
) -> Tensor:
    """Sums over the paired axes; the result's axes are batch, the rest of a, the rest of b."""
    one, other = a.value.type.dtype, b.value.type.dtype
    if one != other or one.kind == "b":
        text = f"a product of {describe(a)} and {describe(b)} needs numbers of one dtype"
        raise DTypeError(message(user_location(), text))
    pairs = (tuple(left), tuple(right))
    if is_float(one) and left:
        return apply("dot", a, b, contract=pairs, batch=batch)
    return _contract_plainly(a, b, pairs, batch)


def _contract_plainly(a: Tensor, b: Tensor, pairs: Any, batch: Any) -> Tensor:
    """The contraction as a sum of products."""
    free_a = free_axes(rank_of(a), pairs[0], batch[0])
    free_b = free_axes(rank_of(b), pairs[1], batch[1])
    a = permute(a, *batch[0], *free_a, *pairs[0])
    b = permute(b, *batch[1], *free_b, *pairs[1])
    heads, kept = len(batch[0]), len(batch[0]) + len(free_a)
    shape = a.value.type.shape
    a = reshape(a, (*shape[:kept], *(1,) * len(free_b), *shape[kept:]))
    shape = b.value.type.shape
    b = reshape(b, (*shape[:heads], *(1,) * len(free_a), *shape[heads:]))
    kept += len(free_b)
    out = a * b
    axes = tuple(range(kept, kept + len(pairs[0])))
    return apply("sum", out, axes=axes) if axes else out


def matmul(x: Tensor, other: Tensor) -> Tensor:
    """``x @ other``: vectors, matrices, and batches of matrices that broadcast."""
    left, right = x.value.type.shape, other.value.type.shape
    if not left or not right:
        raise fail("matmul() takes no 0-d tensors")
    rows = max(len(right) - 2, 0)
    if left[-1] != right[rows]:
        text = (
            f"matmul({describe(x)}, {describe(other)}): inner sizes differ, "
            f"{left[-1]} and {right[rows]}"
        )
        raise fail(text)
    if len(right) <= 2:
        return contract(x, other, (len(left) - 1,), (rows,))
    if len(left) == 1:
        return squeeze(matmul(unsqueeze(x, 0), other), -2)
    batch = broadcast_shape(
        [x.value.type.with_shape(left[:-2]), other.value.type.with_shape(right[:-2])], "matmul"
    )
    x = expand_to(x, (*batch, *left[-2:]))
    other = expand_to(other, (*batch, *right[-2:]))
    axes = tuple(range(len(batch)))
    return contract(x, other, (len(batch) + 1,), (len(batch),), (axes, axes))


def rmatmul(x: Tensor, other: Any) -> Tensor:
    """``other @ x``; ``other`` may be an array."""
    left: Any = other if isinstance(other, TensorState) else x._plain._from_array(other)
    return matmul(left, x)


def _ranks(name: str, pairs: Sequence[tuple[Tensor, int]]) -> None:
    if any(rank_of(x) != rank for x, rank in pairs):
        given = ", ".join(describe(x) for x, _ in pairs)
        wanted = " and ".join(str(rank) for _, rank in pairs)
        raise fail(f"{name}({given}) takes tensors of {wanted} dimensions")


def mm(x: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    _ranks("mm", [(x, 2), (mat2, 2)])
    return matmul(x, mat2)


def bmm(x: Tensor, mat2: Tensor) -> Tensor:
    """The products of two equally long batches of matrices."""
    _ranks("bmm", [(x, 3), (mat2, 3)])
    if x.value.type.shape[0] != mat2.value.type.shape[0]:
        raise fail(f"bmm({describe(x)}, {describe(mat2)}): the batches differ in size")
    return matmul(x, mat2)


def mv(x: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _ranks("mv", [(x, 2), (vec, 1)])
    return matmul(x, vec)


def dot(x: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements."""
    _ranks("dot", [(x, 1), (tensor, 1)])
    return matmul(x, tensor)


def vdot(x: Tensor, other: Tensor) -> Tensor:
    """As ``dot``: real numbers are their own conjugates."""
    return dot(x, other)


def inner(x: Tensor, other: Tensor) -> Tensor:
    """Products summed over the last axis of both; of a 0-d tensor plain products."""
    if not rank_of(x) or not rank_of(other):
        return x * other
    if x.value.type.shape[-1] != other.value.type.shape[-1]:
        raise fail(f"inner({describe(x)}, {describe(other)}): the last sizes differ")
    return contract(x, other, (rank_of(x) - 1,), (rank_of(other) - 1,))


def outer(x: Tensor, vec2: Tensor) -> Tensor:
    """Every product of an element of one vector and one of the other."""
    _ranks("outer", [(x, 1), (vec2, 1)])
    return unsqueeze(x, 1) * unsqueeze(vec2, 0)


ger = outer


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over the last ``dims`` axes of a and the first of b, or over listed pairs."""
    if hasattr(dims, "tolist"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0 or dims > min(rank_of(a), rank_of(b)):
            raise fail(f"tensordot({describe(a)}, {describe(b)}) over {dims} dimensions")
        dims = (tuple(range(rank_of(a) - dims, rank_of(a))), tuple(range(dims)))
    lists = [(side,) if isinstance(side, int) else tuple(side) for side in dims]
    if len(lists[0]) != len(lists[1]):
        raise fail("tensordot() takes as many dimensions of one tensor as of the other")
    left = [axis_of(d, rank_of(a)) for d in lists[0]]
    right = [axis_of(d, rank_of(b)) for d in lists[1]]
    for i, j in zip(tuple(left), tuple(right), strict=True):
        one, other = a.value.type.shape[i], b.value.type.shape[j]
        if one == other:
            continue
        if other != 1 and one != 1:
            raise fail(
                f"tensordot({describe(a)}, {describe(b)}): contracted sizes {one} and {other} "
                f"differ (dimensions {i} and {j})"
            )
        if one == 1:
            b = b.sum(j, keepdim=True, dtype=b.dtype)
        else:
            a = a.sum(i, keepdim=True, dtype=a.dtype)
    return contract(a, b, left, right)


def _scaled_sum(x: Tensor, found: Tensor, beta: Operand, alpha: Operand, name: str) -> Tensor:
    """``beta * x + alpha * found``; a beta of zero leaves x (and its NaN) out."""
    kind, shape = found.value.type.dtype, found.value.type.shape
    if x.value.type.dtype != kind:
        text = f"{name}: {describe(x)} and the product {describe(found)} need one dtype"
        raise DTypeError(message(user_location(), text))
    beta, alpha = (_whole(f) if not is_float(kind) else f for f in (beta, alpha))
    if broadcast_shape([x.value.type, found.value.type], name) != shape:
        raise fail(f"{name}: {describe(x)} does not broadcast to the product {describe(found)}")
    out = found if _is(alpha, 1) else found * alpha
    if _is(beta, 0):
        return out
    return expand_to(x if _is(beta, 1) else x * beta, shape) + out


def _whole(number: Operand) -> Operand:
    """A factor of whole numbers, its fraction dropped."""
    return int(number) if isinstance(number, float) else number


def _is(number: Operand, value: int) -> bool:
    return isinstance(number, int | float) and number == value


def addmm(
    x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Operand = 1, alpha: Operand = 1
) -> Tensor:
    """``beta * x + alpha * mat1 @ mat2``."""
    return _scaled_sum(x, mm(mat1, mat2), beta, alpha, "addmm")


def addmv(x: Tensor, mat: Tensor, vec: Tensor, *, beta: Operand = 1, alpha: Operand = 1) -> Tensor:
    """``beta * x + alpha * mat @ vec``."""
    return _scaled_sum(x, mv(mat, vec), beta, alpha, "addmv")


def baddbmm(
    x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Operand = 1, alpha: Operand = 1
) -> Tensor:
    """``beta * x + alpha * batch1 @ batch2``, for each matrix of the batches."""
    return _scaled_sum(x, bmm(batch1, batch2), beta, alpha, "baddbmm")


def addbmm(
    x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Operand = 1, alpha: Operand = 1
) -> Tensor:
    """``beta * x`` and ``alpha`` times the sum of all products of the batches."""
    _ranks("addbmm", [(batch1, 3), (batch2, 3)])
    left, right = batch1.value.type.shape, batch2.value.type.shape
    if left[0] != right[0] or left[2] != right[1]:
        raise fail(f"addbmm({describe(batch1)}, {describe(batch2)}): sizes differ")
    return _scaled_sum(x, contract(batch1, batch2, (0, 2), (0, 1)), beta, alpha, "addbmm")


def addr(x: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Operand = 1, alpha: Operand = 1) -> Tensor:
    """``beta * x + alpha * outer(vec1, vec2)``; dtypes are promoted."""
    kind = common_dtype([x, vec1, vec2])
    if not is_float(kind) and any(isinstance(factor, float) for factor in (beta, alpha)):
        raise fail("addr(): for whole numbers beta and alpha must be whole too")
    found = cast(outer(vec1, vec2), kind)
    if kind.kind == "b":
        return (found & bool(alpha)) | (x & bool(beta))
    return _scaled_sum(cast(x, kind), found, beta, alpha, "addr")
