"""Tensors in, the same elements in other shapes out, and products of matrices.

Results of reshapes, transposes, slices and expansions share memory with their operand, as
PyTorch's views do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.dispatch import (
    apply,
    axis_of,
    broadcast_shape,
    cast,
    common_dtype,
    describe,
    expand_to,
    known_sizes,
    view as view_of,
)
from engine.errors import ShapeError, message
from engine.locate import user_location
from ir.dims import Size, divide, product

if TYPE_CHECKING:
    from engine.tensor import Tensor


def sizes(shape: Sequence[Any]) -> tuple[Size, ...]:
    """``(2, 3)`` for ``f(2, 3)`` and for ``f((2, 3))``."""
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = shape[0]
    return tuple(s if not hasattr(s, "__index__") else s.__index__() for s in shape)


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The elements in another shape; one size may be -1."""
    wanted = sizes(shape)
    own = x.value.type
    unknown = [a for a, s in enumerate(wanted) if isinstance(s, int) and s == -1]
    if unknown:
        rest = product(s for a, s in enumerate(wanted) if a != unknown[0])
        try:
            free = divide(own.numel, rest) if rest != 0 else 0
            if len(unknown) > 1:
                raise ValueError("only one size can be -1")
        except ValueError as error:
            text = f"cannot view {describe(x)} as {list(wanted)}: {error}"
            raise ShapeError(message(user_location(), text)) from None
        wanted = tuple(free if a == unknown[0] else s for a, s in enumerate(wanted))
    if wanted == own.shape:
        return alias(x)
    return view_of("reshape", x, shape=wanted)


def alias(x: Tensor) -> Tensor:
    """Another tensor over the same memory, with history."""
    return view_of("reshape", x, shape=x.value.type.shape)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes ``start_dim`` to ``end_dim`` merged into one."""
    shape = x.value.type.shape
    first, last = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    if not shape:
        return reshape(x, (1,))
    merged = product(shape[first : last + 1])
    return reshape(x, (*shape[:first], merged, *shape[last + 1 :]))


def permute(x: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    rank = len(x.value.type.shape)
    perm = tuple(axis_of(d, rank) for d in known_sizes(sizes(dims)))
    return view_of("transpose", x, perm=perm)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    perm = list(range(len(x.value.type.shape)))
    a, b = axis_of(dim0, len(perm)), axis_of(dim1, len(perm))
    perm[a], perm[b] = b, a
    return view_of("transpose", x, perm=tuple(perm))


def t(x: Tensor) -> Tensor:
    """A matrix transposed."""
    rank = len(x.value.type.shape)
    if rank > 2:
        text = f"t() takes at most 2 dimensions, got {describe(x)}"
        raise ShapeError(message(user_location(), text, "use transpose(dim0, dim1)"))
    return transpose(x, 0, 1) if rank == 2 else x


def squeeze(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without its axes of size 1 (or those of ``dim`` that are)."""
    shape = x.value.type.shape
    dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    gone = {axis_of(d, len(shape)) for d in dims}
    return reshape(x, tuple(s for a, s in enumerate(shape) if a not in gone or s != 1))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With an axis of size 1 before ``dim``."""
    shape = list(x.value.type.shape)
    shape.insert(axis_of(dim, len(shape) + 1), 1)
    return reshape(x, tuple(shape))


def expand(x: Tensor, *shape: Any) -> Tensor:
    """Axes of size 1 repeated, new axes in front; -1 keeps a size."""
    wanted, own = sizes(shape), x.value.type.shape
    offset = len(wanted) - len(own)
    full = tuple(
        own[a - offset] if isinstance(s, int) and s == -1 and a >= offset else s
        for a, s in enumerate(wanted)
    )
    axes = tuple(range(offset, len(wanted)))
    return view_of("broadcast", x, shape=full, axes=axes)


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """Expanded to the shape of ``other``."""
    return expand(x, *other.value.type.shape)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along ``dim``."""
    if not tensors:
        raise ShapeError(message(user_location(), "cat() of no tensors"))
    dtype = common_dtype(tensors)
    axis = axis_of(dim, len(tensors[0].value.type.shape))
    return apply("concatenate", *[cast(x, dtype) for x in tensors], axis=axis)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors along a new axis ``dim``."""
    return cat([unsqueeze(x, dim) for x in tensors], dim)


def flip(x: Tensor, *dims: Any) -> Tensor:
    """The order along ``dims`` reversed."""
    rank = len(x.value.type.shape)
    return apply("flip", x, axes=tuple(axis_of(d, rank) for d in known_sizes(sizes(dims))))


def matmul(x: Tensor, other: Tensor) -> Tensor:
    """``x @ other``: vectors, matrices, and batches of matrices that broadcast."""
    left, right = x.value.type.shape, other.value.type.shape
    if not left or not right:
        raise ShapeError(message(user_location(), "matmul() takes no 0-d tensors"))
    rows = max(len(right) - 2, 0)
    if left[-1] != right[rows]:
        text = (
            f"matmul({describe(x)}, {describe(other)}): inner sizes differ, "
            f"{left[-1]} and {right[rows]}"
        )
        raise ShapeError(message(user_location(), text))
    if len(right) <= 2:
        return _dot(x, other, (len(left) - 1,), (rows,), ((), ()))
    if len(left) == 1:
        return squeeze(matmul(unsqueeze(x, 0), other), -2)
    batch = broadcast_shape(
        [x.value.type.with_shape(left[:-2]), other.value.type.with_shape(right[:-2])], "matmul"
    )
    x = expand_to(x, (*batch, *left[-2:]))
    other = expand_to(other, (*batch, *right[-2:]))
    axes = tuple(range(len(batch)))
    return _dot(x, other, (len(batch) + 1,), (len(batch),), (axes, axes))


def _dot(a: Tensor, b: Tensor, left: Any, right: Any, batch: Any) -> Tensor:
    return apply("dot", a, b, contract=(left, right), batch=batch)


def mm(x: Tensor, other: Tensor) -> Tensor:
    """The product of two matrices."""
    _ranks("mm", x, other, 2)
    return matmul(x, other)


def bmm(x: Tensor, other: Tensor) -> Tensor:
    """The products of two batches of matrices."""
    _ranks("bmm", x, other, 3)
    return matmul(x, other)


def rmatmul(x: Tensor, other: Any) -> Tensor:
    """``other @ x`` for an array ``other``."""
    return matmul(x._plain._from_array(other), x)


def _ranks(name: str, x: Tensor, other: Tensor, rank: int) -> None:
    if len(x.value.type.shape) != rank or len(other.value.type.shape) != rank:
        text = f"{name}({describe(x)}, {describe(other)}) takes tensors of {rank} dimensions"
        raise ShapeError(message(user_location(), text))
