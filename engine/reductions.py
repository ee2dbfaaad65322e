"""Tensors in, sums, means, extrema and softmaxes along axes out.

``dim`` is an axis, a list of axes, or None for all. Spread and order statistics have files of
their own: ``statistics``, ``ordering``, ``norms``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.arithmetic import div, eq, isfinite, isnan, log, maximum, minimum, ne, where
from engine.dispatch import apply, axes_of, axis_of, cast
from engine.dtypes import as_dtype, float32, int64
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.shaping import reshape
from engine.state import TensorState
from ir.dims import Size, product
from ir.types import BOOL, DTYPES, DType, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

Axes = int | Sequence[int] | None


class Extremum(NamedTuple):
    """What ``x.max(dim)`` gives."""

    values: Tensor
    indices: Tensor


class Extrema(NamedTuple):
    """What ``aminmax`` gives."""

    min: Tensor
    max: Tensor


def axes_from(x: Tensor, dim: Axes) -> tuple[int, ...]:
    """The axes of a reduction; RuntimeError where one is named twice."""
    axes = axes_of(dim, len(x.value.type.shape))
    if len(set(axes)) != len(axes):
        text = f"dim {dim} names one dimension more than once"
        raise ShapeError(message(user_location(), text))
    return axes


def kept(out: Tensor, shape: Sequence[Size], axes: Sequence[int], keepdim: bool) -> Tensor:
    """A result without ``axes``, with size 1 in their place where ``keepdim`` asks for it."""
    if not keepdim:
        return out
    return reshape(out, tuple(1 if a in axes else s for a, s in enumerate(shape)))


def _reduce(name: str, x: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    axes = axes_from(x, dim)
    return kept(apply(name, x, axes=axes), x.value.type.shape, axes, keepdim)


def _wide(x: Tensor, dtype: Any) -> Tensor:
    """``x`` as ``dtype``; without one, integers and bools as int64."""
    kind = x.value.type.dtype
    return cast(x, as_dtype(dtype) if dtype is not None else kind if is_float(kind) else int64)


def sum(x: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum along ``dim`` (all axes for None); integers and bools sum as int64."""
    wide = _wide(x, dtype)
    if wide.value.type.dtype == BOOL:
        return ne(sum(x.bool(), dim, keepdim), 0)
    return _reduce("sum", wide, dim, keepdim)


def nansum(x: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum along ``dim`` of what is not NaN."""
    if is_float(x.value.type.dtype):
        x = where(isnan(x), 0.0, x)
    return sum(x, dim, keepdim, dtype=dtype)


def prod(x: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product along ``dim``; integers and bools multiply as int64."""
    return _reduce("prod", _wide(x, dtype), dim, keepdim)


def mean(x: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean along ``dim``; float tensors only."""
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    must_be_float(x, "mean")
    return div(_reduce("sum", x, dim, keepdim), count_along(x, axes_from(x, dim)))


def nanmean(x: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean along ``dim`` of what is not NaN."""
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    must_be_float(x, "nanmean")
    held = cast(~isnan(x), x.value.type.dtype)
    return nansum(x, dim, keepdim) / sum(held, dim, keepdim)


def count_along(x: Tensor, axes: Sequence[int]) -> Size:
    """The number of elements that a reduction over ``axes`` combines."""
    return product(x.value.type.shape[a] for a in axes)


def count_nonzero(x: Tensor, dim: Axes = None) -> Tensor:
    """How many elements along ``dim`` are not zero, as int64."""
    return sum(ne(x, 0), dim)


def must_be_float(x: Tensor, name: str) -> None:
    """TypeError for a tensor of integers or bools."""
    if not is_float(x.value.type.dtype):
        raise DTypeError(
            message(
                user_location(),
                f"{name}() takes float tensors, not {x.value.type.dtype}",
                "call .float() first",
            )
        )


def _extreme(name: str, x: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    axes = axes_from(x, dim)
    if count_along(x, axes) == 0:
        text = f"a{name}() along dimensions without elements of {list(x.value.type.shape)}"
        error = ShapeError if dim is None else IndexError
        raise error(message(user_location(), text, "name a dim that is not empty"))
    if x.value.type.dtype == BOOL:
        return _extreme(name, cast(x, DTYPES["u8"]), dim, keepdim).bool()
    out = _reduce(name, x.detach(), dim, True)
    if x.requires_grad:
        out = shared_among_equals(x, out, axes)
    return out if keepdim else reshape(out, _without(x, axes))


def _without(x: Tensor, axes: Sequence[int]) -> tuple[Size, ...]:
    return tuple(size for a, size in enumerate(x.value.type.shape) if a not in axes)


def shared_among_equals(x: Tensor, found: Tensor, axes: Sequence[int]) -> Tensor:
    """``found`` (kept axes of size 1), its gradient shared evenly by the elements equal to it."""
    same = eq(x.detach(), found) | isnan(x.detach()) & isnan(found)
    count = _reduce("sum", cast(same, x.value.type.dtype), axes, True)
    finite = found + _reduce("sum", where(same, x - x.detach(), 0.0), axes, True) / count
    other = _reduce("sum", where(same, x, 0.0), axes, True) / count
    return where(isfinite(found), finite, other)


def amax(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The largest along ``dim``; equal elements share the gradient."""
    return _extreme("max", x, dim, keepdim)


def amin(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The smallest along ``dim``; equal elements share the gradient."""
    return _extreme("min", x, dim, keepdim)


def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Extrema:
    """The pair (smallest, largest) along ``dim``."""
    return Extrema(amin(x, dim, keepdim), amax(x, dim, keepdim))


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the largest along ``dim`` (in the flattened tensor for None), as int64."""
    return _position("argmax", x, dim, keepdim)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the smallest along ``dim``, as int64."""
    return _position("argmin", x, dim, keepdim)


def _position(name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    axes = axes_from(x, dim)
    if count_along(x, axes) == 0:
        text = f"{name}() along a dimension without elements"
        raise IndexError(message(user_location(), text))
    wide = cast(x, DTYPES["u8"]) if x.value.type.dtype == BOOL else x
    found = apply(name, wide, axes=axes, dtype=int64)
    return kept(found, x.value.type.shape, axes, keepdim)


def _selected(name: str, x: Tensor, dim: int, keepdim: bool) -> Extremum:
    """The pair (values, indices): the gradient goes to the element at the index."""
    at = _position(f"arg{name}", x, dim, keepdim)
    if x.value.type.dtype == BOOL:
        return Extremum(_extreme(name, x, dim, keepdim), at)
    return Extremum(_reduce(name, x, dim, keepdim), at)


def max(x: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with ``dim`` the pair (values, indices); with a tensor, ``maximum``."""
    other = dim if isinstance(dim, TensorState) else other
    if other is not None:
        return maximum(x, other)
    return amax(x) if dim is None else _selected("max", x, dim, keepdim)


def min(x: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with ``dim`` the pair (values, indices); with a tensor, ``minimum``."""
    other = dim if isinstance(dim, TensorState) else other
    if other is not None:
        return minimum(x, other)
    return amin(x) if dim is None else _selected("min", x, dim, keepdim)


def any(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether some element is true; uint8 gives uint8."""
    return _truth(x, ne(sum(x.bool(), dim, keepdim), 0))


def all(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether every element is true; uint8 gives uint8."""
    return _truth(x, eq(sum(~x.bool(), dim, keepdim), 0))


def _truth(x: Tensor, found: Tensor) -> Tensor:
    return cast(found, DTYPES["u8"]) if x.value.type.dtype == DTYPES["u8"] else found


def _along_rows(name: str, x: Tensor, dim: int, dtype: DType | None) -> Tensor:
    """A kind of softmax; nothing, and a single number, are rows of one."""
    x = cast(x, as_dtype(dtype)) if dtype is not None else x
    must_be_float(x, name)
    shape = x.value.type.shape
    axis = axis_of(dim, len(shape))
    if 0 in shape:
        return x * 1.0
    rows = x if shape else reshape(x, (1,))
    found = apply(name, rows, axes=(axis if shape else 0,))
    return found if shape else reshape(found, ())


def softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    return _along_rows("softmax", x, dim, dtype)


def log_softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``log(softmax(x))`` along ``dim``, without its overflow."""
    return _along_rows("log_softmax", x, dim, dtype)


def logsumexp(x: Tensor, dim: Axes, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along ``dim``, without its overflow."""
    x = x if is_float(x.value.type.dtype) else cast(x, float32)
    axes = axes_from(x, dim)
    if count_along(x, axes) == 0:
        return log(sum(apply("exp", x), dim, keepdim))
    peak = amax(x.detach(), axes or None, True)
    peak = where(isfinite(peak), peak, 0.0)
    total = apply("log", sum(apply("exp", x - peak), axes or None, True)) + peak
    return total if keepdim else reshape(total, _without(x, axes))
