"""Tensors in, sums, means, extrema and softmaxes along axes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.arithmetic import div, eq, maximum, minimum
from engine.dispatch import apply, axes_of, axis_of, cast, expand_to
from engine.dtypes import as_dtype, int64
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.shaping import reshape
from engine.state import TensorState
from ir.dims import Size, product
from ir.types import DType, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

Axes = int | Sequence[int] | None


class Extremum(NamedTuple):
    """What ``x.max(dim)`` gives."""

    values: Tensor
    indices: Tensor


def _kept(out: Tensor, shape: Sequence[Size], axes: Sequence[int], keepdim: bool) -> Tensor:
    if not keepdim:
        return out
    return reshape(out, tuple(1 if a in axes else s for a, s in enumerate(shape)))


def _reduce(name: str, x: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    shape = x.value.type.shape
    axes = axes_of(dim, len(shape))
    return _kept(apply(name, x, axes=axes), shape, axes, keepdim)


def sum(x: Tensor, dim: Axes = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The sum along ``dim`` (all axes for None); integers and bools sum as int64."""
    kind = x.value.type.dtype
    wanted = as_dtype(dtype) if dtype is not None else kind if is_float(kind) else int64
    return _reduce("sum", cast(x, wanted), dim, keepdim)


def prod(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The product along ``dim``."""
    kind = x.value.type.dtype
    return _reduce("prod", cast(x, kind if is_float(kind) else int64), dim, keepdim)


def mean(x: Tensor, dim: Axes = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The mean along ``dim``; float tensors only."""
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    _must_be_float(x, "mean")
    shape = x.value.type.shape
    count = product(shape[a] for a in axes_of(dim, len(shape)))
    return div(_reduce("sum", x, dim, keepdim), count)


def var(
    x: Tensor,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor:
    """The variance along ``dim``, divided by the count less ``correction`` (1, or 0 if biased)."""
    _must_be_float(x, "var")
    shape = x.value.type.shape
    axes = axes_of(dim, len(shape))
    less = correction if correction is not None else int(unbiased)
    middle = x - expand_to(mean(x, axes, True), shape) if axes else x - x
    count = product(shape[a] for a in axes) - less
    if isinstance(count, int) and count < 0:
        count = 0
    return div(_reduce("sum", middle * middle, axes, keepdim) if axes else middle, count)


def std(
    x: Tensor,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor:
    """The square root of ``var``."""
    return apply("sqrt", var(x, dim, unbiased, keepdim, correction=correction))


def _must_be_float(x: Tensor, name: str) -> None:
    if not is_float(x.value.type.dtype):
        raise DTypeError(
            message(
                user_location(),
                f"{name}() takes float tensors, not {x.value.type.dtype}",
                "call .float() first",
            )
        )


def amax(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The largest along ``dim``; the gradient goes to the first of equals."""
    return _reduce("max", x, dim, keepdim)


def amin(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The smallest along ``dim``; the gradient goes to the first of equals."""
    return _reduce("min", x, dim, keepdim)


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the largest along ``dim`` (in the flattened tensor for None), as int64."""
    return _position("argmax", x, dim, keepdim)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the smallest along ``dim``, as int64."""
    return _position("argmin", x, dim, keepdim)


def _position(name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    shape = x.value.type.shape
    axes = axes_of(dim, len(shape))
    return _kept(apply(name, x, axes=axes, dtype=int64), shape, axes, keepdim)


def max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with ``dim`` the pair (values, indices); with a tensor, ``maximum``."""
    if isinstance(dim, TensorState):
        return maximum(x, dim)  # type: ignore[arg-type]
    if dim is None:
        return amax(x)
    return Extremum(amax(x, dim, keepdim), argmax(x, dim, keepdim))


def min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with ``dim`` the pair (values, indices); with a tensor, ``minimum``."""
    if isinstance(dim, TensorState):
        return minimum(x, dim)  # type: ignore[arg-type]
    if dim is None:
        return amin(x)
    return Extremum(amin(x, dim, keepdim), argmin(x, dim, keepdim))


def any(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether some element is true."""
    return sum(x.bool(), dim, keepdim) > 0


def all(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether every element is true."""
    return eq(sum(~x.bool(), dim, keepdim), 0)


def norm(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The Euclidean norm along ``dim``."""
    return apply("sqrt", sum(x * x, dim, keepdim))


def _shifted(x: Tensor, dim: int, dtype: DType | None) -> tuple[Tensor, int]:
    """``x`` less its maximum along the axis, which is a constant to the gradient."""
    x = cast(x, as_dtype(dtype)) if dtype is not None else x
    _must_be_float(x, "softmax")
    shape = x.value.type.shape
    axis = axis_of(dim, len(shape))
    if not shape:
        return x - x.detach(), axis
    return x - expand_to(amax(x.detach(), axis, True), shape), axis


def softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    shifted, axis = _shifted(x, dim, dtype)
    grown = apply("exp", shifted)
    return grown / sum(grown, axis, True)


def log_softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``log(softmax(x))`` along ``dim``, without its overflow."""
    shifted, axis = _shifted(x, dim, dtype)
    return shifted - apply("log", sum(apply("exp", shifted), axis, True))


def logsumexp(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along ``dim``, without its overflow."""
    peak = amax(x.detach(), dim, True)
    total = apply("log", sum(apply("exp", x - peak), dim, True)) + peak
    return total if keepdim else reshape(total, amax(x.detach(), dim).shape)
