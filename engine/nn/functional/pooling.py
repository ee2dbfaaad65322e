"""Images in, smaller images out: the maximum, the mean or the norm of every window (ADR 1)."""

from __future__ import annotations

from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from engine.arithmetic import div
from engine.creation import from_numpy
from engine.dispatch import apply, cast
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import (
    AXES,
    IntOrSizes,
    Pads,
    Sizes,
    at_least,
    per_axis,
    span,
    windows,
)
from engine.tensor import Tensor
from ir.types import I64, is_float

Positions: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of every window: [n, c, l] (or [c, l]) -> [n, c, lo]. As ``max_pool2d``."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool(input, *options, rank=1)


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of every window: [n, c, h, w] (or [c, h, w]) -> [n, c, ho, wo].

    ``stride`` is ``kernel_size`` by default; padding counts as minus infinity. With
    ``return_indices`` the pair (maxima, their int64 positions in the flattened image). The
    gradient goes to the first maximum of a window, as in PyTorch.
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool(input, *options, rank=2)


def max_pool3d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of every window: [n, c, d, h, w] -> [n, c, do, ho, wo]. As ``max_pool2d``."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool(input, *options, rank=3)


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window: [n, c, l] (or [c, l]) -> [n, c, lo]. As ``avg_pool2d``."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    return _avg_pool(input, *options, rank=1)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window: [n, c, h, w] (or [c, h, w]) -> [n, c, ho, wo].

    With ``count_include_pad=False`` the mean is over the places that lie within the image.
    """
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _avg_pool(input, *options, rank=2)


def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window: [n, c, d, h, w] -> [n, c, do, ho, wo]. As ``avg_pool2d``."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _avg_pool(input, *options, rank=3)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The ``norm_type``-norm of every window, of the signed powers: [n, c, l] -> [n, c, lo]."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The norm of every window: [n, c, h, w] -> [n, c, ho, wo]. As ``lp_pool1d``."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The norm of every window: [n, c, d, h, w] -> [n, c, do, ho, wo]. As ``lp_pool1d``."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


def _max_pool(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None,
    padding: IntOrSizes,
    dilation: IntOrSizes,
    ceil_mode: bool,
    return_indices: bool,
    rank: int,
) -> Any:
    kernel, steps = _strides(kernel_size, stride, rank)
    edge, spread = per_axis(padding, rank, "padding"), per_axis(dilation, rank, "dilation")
    at_least(1, dilation=spread)
    check_image(input, f"max_pool{rank}d", rank)
    _check_edge(f"max_pool{rank}d", span(kernel, spread), edge)
    pads = _paddings(input, kernel, steps, edge, spread, ceil_mode)
    view = windows(input, kernel, steps, pads, spread, fill=lowest(input))
    axes = tuple(range(input.ndim, input.ndim + rank))
    best = apply("max", view, axes=axes)
    if not return_indices:
        return best
    sizes = [int(size) for size in input.shape[-rank:]]
    places = [int(size) for size in best.shape[-rank:]]
    corner = [np.arange(o) * s - e for o, s, e in zip(places, steps, edge, strict=True)]
    offset = [np.arange(k) * d for k, d in zip(kernel, spread, strict=True)]
    at = apply("argmax", view, axes=axes, dtype=I64)
    inside = apply("take", from_numpy(flat_positions(offset, sizes).reshape(-1)), at, axis=0)
    return best, inside + from_numpy(flat_positions(corner, sizes))


def flat_positions(per_axis: list[Positions], sizes: list[int]) -> Positions:
    """Coordinates along each axis as positions in the flattened image, over their grid."""
    grid = np.ix_(*per_axis)
    weights = np.cumprod([1, *sizes[:0:-1]])[::-1]
    total: Positions = sum(g * w for g, w in zip(grid, weights, strict=True)) + np.int64(0)
    return total


def lowest(x: Tensor) -> float:
    """What loses against every value of the dtype."""
    return float("-inf") if is_float(x.dtype) else int(np.iinfo(str(x.dtype)).min)


def _avg_pool(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None,
    padding: IntOrSizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    rank: int,
) -> Tensor:
    kernel, steps = _strides(kernel_size, stride, rank)
    edge, ones = per_axis(padding, rank, "padding"), (1,) * rank
    check_image(input, f"avg_pool{rank}d", rank)
    _check_edge(f"avg_pool{rank}d", kernel, edge)
    if divisor_override == 0:
        raise misfit("avg_pool: divisor_override must not be zero")
    pads = _paddings(input, kernel, steps, edge, ones, ceil_mode)
    axes = tuple(range(input.ndim, input.ndim + rank))
    total = apply("sum", windows(input, kernel, steps, pads, ones), axes=axes)
    rounding = None if is_float(total.dtype) else "trunc"
    if divisor_override is not None:
        return div(total, divisor_override, rounding_mode=rounding)
    sizes = [int(size) for size in input.shape[-rank:]]
    places = [int(size) for size in total.shape[-rank:]]
    geometry = zip(sizes, kernel, steps, edge, places, strict=True)
    counts = reduce(np.multiply.outer, [_counts(*axis, count_include_pad) for axis in geometry])
    if counts.size == 0 or (counts == counts.flat[0]).all():
        return div(total, int(counts.flat[0]) if counts.size else 1, rounding_mode=rounding)
    return div(total, from_numpy(counts.astype(total.dtype)), rounding_mode=rounding)


def _counts(
    extent: int, kernel: int, stride: int, edge: int, out: int, with_padding: bool
) -> Positions:
    """How many places each of ``out`` windows counts along one axis."""
    start = np.arange(out) * stride - edge
    stop = np.minimum(start + kernel, extent + edge)
    if with_padding:
        return stop - start
    return np.minimum(stop, extent) - np.maximum(start, 0)


def _lp_pool(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None,
    ceil_mode: bool,
    rank: int,
) -> Tensor:
    """As PyTorch: the mean of powers, its sign dropped, times the window's size."""
    kernel, steps = _strides(kernel_size, stride, rank)
    mean = _avg_pool(input**norm_type, kernel, steps, 0, ceil_mode, True, None, rank)
    total = mean.sign() * mean.abs().relu() * float(np.prod(kernel))
    return cast(total ** (1.0 / norm_type), input.dtype)


def _strides(kernel_size: IntOrSizes, stride: IntOrSizes | None, rank: int) -> tuple[Sizes, Sizes]:
    """The kernel and the stride, which is the kernel where none is given."""
    kernel = per_axis(kernel_size, rank, "kernel_size")
    default = stride is None or (not isinstance(stride, int) and len(stride) == 0)
    steps = kernel if default or stride is None else per_axis(stride, rank, "stride")
    at_least(1, kernel_size=kernel, stride=steps)
    return kernel, steps


def _paddings(
    input: Tensor, kernel: Sizes, stride: Sizes, edge: Sizes, dilation: Sizes, ceil_mode: bool
) -> Pads:
    """(low, high) per axis; ``ceil_mode`` lets a last window that starts inside hang over."""
    pads = []
    lead = input.ndim - len(kernel)
    geometry = zip(span(kernel, dilation), stride, edge, strict=True)
    for axis, (reach, s, e) in enumerate(geometry):
        high = e
        if ceil_mode:
            extent = int(input.shape[lead + axis])
            count = -(-(extent + 2 * e - reach) // s) + 1
            if (count - 1) * s >= extent + e:
                count -= 1
            high = max(e, (count - 1) * s + reach - extent - e)
        pads.append((e, high))
    return tuple(pads)


def check_image(input: Tensor, name: str, rank: int) -> None:
    """Raise ShapeError unless ``input`` is a batch of images or one image, channels first."""
    if input.ndim not in (rank + 1, rank + 2):
        raise misfit(
            f"{name} takes [n, c, {AXES[rank]}] or [c, {AXES[rank]}], not {list(input.shape)}",
            hint="add the missing axes with unsqueeze",
        )
    if any(size == 0 for size in input.shape[-rank - 1 :]):
        raise misfit(f"{name}: only the batch may be empty, not {list(input.shape)}")


def _check_edge(name: str, kernel: Sizes, edge: Sizes) -> None:
    at_least(0, padding=edge)
    if any(2 * e > k for e, k in zip(edge, kernel, strict=True)):
        raise misfit(
            f"{name}: padding {edge} is more than half of the window {kernel}",
            hint="a window must hold at least one place of the image",
        )
