"""Tensors in, the same elements in other shapes out.

Results of reshapes, transposes, slices and expansions share memory with their operand, as
PyTorch's views do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.dispatch import (
    apply,
    axis_of,
    cast,
    common_dtype,
    describe,
    known_sizes,
    view as view_of,
)
from engine.errors import DTypeError, ShapeError, Unsupported, message
from engine.locate import user_location
from engine.state import TensorState
from ir.dims import Size, divide, product

if TYPE_CHECKING:
    from engine.tensor import Tensor


def sizes(shape: Sequence[Any]) -> tuple[Size, ...]:
    """``(2, 3)`` for ``f(2, 3)`` and for ``f((2, 3))``."""
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = shape[0]
    return tuple(s if not hasattr(s, "__index__") else s.__index__() for s in shape)


def reshape(x: Tensor, *size: Any, shape: Any = None) -> Tensor:
    """The elements in another shape; one size may be -1."""
    wanted = sizes(size if shape is None else (shape,))
    own = x.value.type
    if len(wanted) == 1 and isinstance(wanted[0], np.dtype | type | str):
        text = f"view() of {describe(x)} as another dtype: its bytes would be read anew"
        raise Unsupported(message(user_location(), text, "to(dtype) converts the values"))
    unknown = [a for a, s in enumerate(wanted) if isinstance(s, int) and s == -1]
    if unknown:
        rest = product(s for a, s in enumerate(wanted) if a != unknown[0])
        try:
            if len(unknown) > 1:
                raise ValueError("only one size can be -1")
            if rest == 0:
                raise ValueError("-1 could be any size")
            free = divide(own.numel, rest)
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


def permute(x: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The axes in another order."""
    rank = len(x.value.type.shape)
    perm = tuple(axis_of(d, rank) for d in _listed(axes, dims))
    return view_of("transpose", x, perm=perm)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    perm = list(range(len(x.value.type.shape)))
    a, b = axis_of(dim0, len(perm)), axis_of(dim1, len(perm))
    if perm:
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
    """The tensors one after another along ``dim``; empty vectors [0] fit beside anything."""
    _tensors(tensors, "cat")
    dtype = common_dtype(tensors)
    parts = [cast(x, dtype) for x in tensors if x.value.type.shape != (0,)] or list(tensors[:1])
    if not all(x.value.type.shape for x in parts):
        text = "cat() of tensors without dimensions"
        raise ShapeError(message(user_location(), text, "stack() makes a dimension"))
    axis = axis_of(dim, len(parts[0].value.type.shape))
    if len({len(x.value.type.shape) for x in parts}) > 1:
        listed = ", ".join(describe(x) for x in parts)
        text = f"cat({listed}): the numbers of dimensions differ"
        raise ShapeError(message(user_location(), text))
    return apply("concatenate", *[cast(x, dtype) for x in parts], axis=axis)


def _tensors(given: Any, op: str) -> None:
    if not isinstance(given, Sequence) or not all(isinstance(x, TensorState) for x in given):
        text = f"{op}() takes a sequence of tensors, not {given!r}"
        raise DTypeError(message(user_location(), text))
    if not given:
        raise ShapeError(message(user_location(), f"{op}() of no tensors"))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors along a new axis ``dim``."""
    _tensors(tensors, "stack")
    first = tensors[0].value.type.shape
    if any(x.value.type.shape != first for x in tensors):
        listed = ", ".join(describe(x) for x in tensors)
        raise ShapeError(message(user_location(), f"stack({listed}): the shapes differ"))
    axis = axis_of(dim, len(first) + 1)
    return cat([unsqueeze(x, axis) for x in tensors], axis)


def flip(x: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The order along ``dims`` reversed: ``flip(x, 0, 1)``, ``flip(x, (0, 1))``, by name too."""
    shape = x.value.type.shape
    named = tuple(axis_of(d, len(shape)) for d in _listed(axes, dims))
    if len(set(named)) != len(named):
        text = f"flip({describe(x)}): a dimension appears more than once in {named}"
        raise ShapeError(message(user_location(), text))
    return apply("flip", x, axes=named) if shape else x.clone()


def _listed(axes: Sequence[Any], dims: Any) -> tuple[int, ...]:
    """Dimensions given one by one, as a sequence, or by the keyword ``dims``."""
    given = axes if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    return known_sizes(sizes(given))
