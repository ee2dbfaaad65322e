"""Tensors in, what describes their spread out: variances, covariances, counts in bins.

Sizes of results that depend on values (``bincount``, ``unique``) are known in eager mode only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.arithmetic import clamp, div, eq, floor, ge, le, mul, sqrt, sub, where
from engine.dispatch import apply, cast, describe, expand_to
from engine.dtypes import int64
from engine.errors import DTypeError, ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.products import matmul
from engine.reductions import Axes, axes_from, count_along, mean, must_be_float, sum as total
from engine.shaping import reshape, transpose, unsqueeze
from engine.state import TensorState
from ir.types import is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "bincount",
    "corrcoef",
    "cov",
    "histc",
    "histogram",
    "std",
    "std_mean",
    "var",
    "var_mean",
]


def _settled(dim: Any, unbiased: Any, correction: float | None) -> tuple[Axes, float | int]:
    """``var(x, False)`` names the correction, not a dim: what PyTorch's overloads mean."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return dim, correction if correction is not None else int(unbiased)


def var(
    x: Tensor,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance along ``dim``, divided by the count less ``correction`` (1, or 0 if biased)."""
    return _moments(x, dim, unbiased, keepdim, correction, "var")[0]


def std(
    x: Tensor,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The square root of ``var``; the gradient is 0 where the variance is."""
    return _root(_moments(x, dim, unbiased, keepdim, correction, "std")[0])


def var_mean(
    x: Tensor,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The pair (variance, mean) along ``dim``."""
    return _moments(x, dim, unbiased, keepdim, correction, "var_mean")


def std_mean(
    x: Tensor,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The pair (standard deviation, mean) along ``dim``."""
    spread, middle = _moments(x, dim, unbiased, keepdim, correction, "std_mean")
    return _root(spread), middle


def _root(spread: Tensor) -> Tensor:
    flat = eq(spread.detach(), 0)
    return (
        where(flat, 0.0, sqrt(where(flat, 1.0, spread))) if spread.requires_grad else sqrt(spread)
    )


def _moments(
    x: Tensor, dim: Axes, unbiased: bool, keepdim: bool, correction: float | None, name: str
) -> tuple[Tensor, Tensor]:
    must_be_float(x, name)
    dim, less = _settled(dim, unbiased, correction)
    shape, axes = x.value.type.shape, axes_from(x, dim)
    middle = mean(x, axes, True) if axes else x
    apart = x - expand_to(middle, shape)
    count: Any = count_along(x, axes) - less  # type: ignore[operator]
    if isinstance(count, int | float) and count < 0:
        count = 0
    spread = div(total(mul(apart, apart), axes, True) if axes else mul(apart, apart), count)
    if keepdim or not axes:
        return spread, middle
    rest = tuple(size for a, size in enumerate(shape) if a not in axes)
    return reshape(spread, rest), reshape(middle, rest)


def cov(
    x: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances [v, v] of ``v`` variables in ``n`` observations [v, n]; [] of one."""
    shape = x.value.type.shape
    if len(shape) > 2:
        text = f"cov({describe(x)}) takes at most 2 dimensions"
        raise ShapeError(message(user_location(), text))
    rows = reshape(x, (1, -1)) if len(shape) < 2 else x
    rows = rows if is_float(rows.value.type.dtype) else rows.float()
    weight = _weights(rows, fweights, aweights)
    if weight is None:
        count: Any = rows.value.type.shape[1]
        middle, weighted = mean(rows, 1, True) if count != 0 else rows.sum(1, True), rows
        apart = rows - middle
        weighted, norm = apart, count - correction
        norm = norm if not isinstance(norm, int) or norm > 0 else 0
    else:
        size = total(weight)
        apart = rows - div(total(mul(rows, weight), 1, True), size)
        weighted = mul(apart, weight)
        squares = size if aweights is None else div(total(mul(weight, aweights)), size)
        norm = clamp(size - squares * correction if aweights is not None else size - correction, 0)
    out = div(matmul(weighted, transpose(apart, 0, 1)), norm)
    return reshape(out, ()) if rows.value.type.shape[0] == 1 else out


def _weights(x: Tensor, fweights: Tensor | None, aweights: Tensor | None) -> Tensor | None:
    """Both kinds of weights multiplied, checked against the observations."""
    out: Tensor | None = None
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        kind = weights.value.type
        rule = ""
        if len(kind.shape) > 1 or kind.shape[:1] not in {(), x.value.type.shape[1:]}:
            rule = "must be a vector, one weight for each observation"
        elif is_float(kind.dtype) == (name == "fweights"):
            rule = "must be integers" if name == "fweights" else "must be floats"
        elif modes.trace is None and bool((weights < 0).any()):
            rule = "must not be negative"
        if rule:
            raise ShapeError(message(user_location(), f"cov(): {name} {rule}"))
        out = weights if out is None else mul(out, weights)
    if out is None or is_float(out.value.type.dtype):
        return out
    return cast(out, x.value.type.dtype)


def corrcoef(x: Tensor) -> Tensor:
    """The correlations [v, v] of variables [v, n], limited to [-1, 1]."""
    if len(x.value.type.shape) > 2:
        text = f"corrcoef({describe(x)}) takes at most 2 dimensions"
        raise ShapeError(message(user_location(), text))
    found = cov(x)
    if not found.value.type.shape:
        return div(found, found)
    spread = sqrt(found.diagonal())
    scaled = div(div(found, unsqueeze(spread, 1)), unsqueeze(spread, 0))
    return clamp(scaled, -1, 1)


def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of ``bins`` equal parts of [min, max]; float [bins].

    Without ends (or where they are equal) the range is that of the elements.
    """
    if bins <= 0 or min > max:
        text = f"histc(): {bins} bins from {min} to {max}: there must be some, in this order"
        raise ShapeError(message(user_location(), text))
    flat = reshape(x.detach(), (-1,))
    low, high = _ends(flat, min, max)
    if min == max:
        low, high = _apart(low, high, 1)
    kind = x.value.type.dtype
    inside = ge(flat, low) & le(flat, high)
    place = floor(div(mul(sub(where(inside, flat, low), low), bins), sub(high, low)))
    place = cast(clamp(place, 0, bins - 1), int64)
    return apply("put_add", cast(inside, kind), place, axis=0, extent=bins)


def _fixed(flat: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    if low > high:
        text = f"histogram(): the range from {low} to {high} is empty"
        raise ShapeError(message(user_location(), text))
    return flat.new_tensor(float(low)), flat.new_tensor(float(high))


def _ends(flat: Tensor, min: float, max: float) -> tuple[Tensor, Tensor]:
    """The two numbers, or where they are equal the ends of the elements, if there are any."""
    if min != max:
        return _fixed(flat, min, max)
    if flat.value.type.shape == (0,):
        return _fixed(flat, min, max + (min == max == 0))
    return flat.amin(), flat.amax()


def _apart(low: Tensor, high: Tensor, by: float) -> tuple[Tensor, Tensor]:
    """Equal ends moved outwards."""
    same = eq(low, high)
    return where(same, low - by, low), where(same, high + by, high)


class Histogram(NamedTuple):
    """What ``histogram`` gives: sums [bins] and edges [bins + 1]."""

    hist: Tensor
    bin_edges: Tensor


def histogram(
    x: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """Weights summed in bins: a number of equal ones (over ``range``), or rising edges [b + 1]."""
    must_be_float(x, "histogram")
    flat = reshape(x.detach(), (-1,))
    if isinstance(bins, TensorState):
        edges: Any = bins
    else:
        low, high = _apart(*(_ends(flat, 0, 0) if range is None else _fixed(flat, *range)), 0.5)
        steps = flat.new_tensor([i / bins for i in builtin_range(bins + 1)])
        edges = where(eq(steps, 1), high, low + steps * (high - low))
    count = edges.value.type.shape[0] - 1
    ones = flat * 0 + 1 if weight is None else reshape(weight, (-1,))
    inside = ge(flat, edges[0]) & le(flat, edges[-1])
    place = cast(ge(unsqueeze(flat, -1), edges), int64).sum(-1) - 1
    held = where(inside, ones, 0.0)
    out = apply("put_add", held, clamp(place, 0, count - 1), axis=0, extent=count)
    if density:
        out = out / total(out) / (edges[1:] - edges[:-1])
    return Histogram(out, edges)


builtin_range = range


def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, ... occurs in integers [n]; or the sums of their ``weights``.

    Differs from PyTorch: outside ``jit`` only.
    """
    kind = x.value.type
    if modes.trace is not None:
        text = "bincount inside jit: the result's size depends on data"
        raise Unsupported(message(user_location(), text, "use one_hot(x, n).sum(0)"))
    if is_float(kind.dtype) or kind.dtype.kind == "b":
        raise DTypeError(message(user_location(), f"bincount() counts integers, not {kind.dtype}"))
    empty = kind.shape == (0,)
    rule = ""
    if len(kind.shape) != 1 or (not empty and int(x.amin()) < 0):
        rule = "takes a vector of integers that are not negative"
    elif minlength < 0:
        rule = "minlength must not be negative"
    elif weights is not None and weights.value.type.shape != kind.shape:
        rule = "there must be a weight for each number"
    if rule:
        raise ShapeError(message(user_location(), f"bincount({describe(x)}): {rule}"))
    most = 0 if empty else int(x.amax()) + 1
    size = most if most > minlength else minlength
    held = cast(eq(x, x), int64) if weights is None else weights
    held = held if is_float(held.value.type.dtype) or weights is None else held.double()
    return apply("put_add", held, cast(x, int64), axis=0, extent=size)
