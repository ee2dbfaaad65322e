"""Images in, smaller images out: the maximum or the mean of every window (ADR 1)."""

from __future__ import annotations

import numpy as np

from engine.creation import from_numpy
from engine.dispatch import apply
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrPair, Pair, pair, windows
from engine.tensor import Tensor


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of every window: [n, c, h, w] (or [c, h, w]) -> [n, c, ho, wo].

    ``stride`` is ``kernel_size`` by default; padding counts as minus infinity. The gradient goes
    to the first maximum of a window, as in PyTorch.
    """
    if input.ndim == 3:
        batch = input.unsqueeze(0)
        return max_pool2d(batch, kernel_size, stride, padding, dilation, ceil_mode).squeeze(0)
    kernel, spread, edge = pair(kernel_size), pair(dilation), pair(padding)
    steps = kernel if stride is None else pair(stride)
    _check(input, "max_pool2d", kernel, edge)
    pads = _paddings(input, kernel, steps, edge, spread, ceil_mode)
    view = windows(input, kernel, steps, pads, spread, fill=float("-inf"))
    return apply("max", view, axes=(4, 5))


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window: [n, c, h, w] (or [c, h, w]) -> [n, c, ho, wo].

    With ``count_include_pad=False`` the mean is over the places that lie within the image.
    """
    options = (ceil_mode, count_include_pad, divisor_override)
    if input.ndim == 3:
        batch = input.unsqueeze(0)
        return avg_pool2d(batch, kernel_size, stride, padding, *options).squeeze(0)
    kernel, edge = pair(kernel_size), pair(padding)
    steps = kernel if stride is None else pair(stride)
    _check(input, "avg_pool2d", kernel, edge)
    pads = _paddings(input, kernel, steps, edge, (1, 1), ceil_mode)
    total = apply("sum", windows(input, kernel, steps, pads), axes=(4, 5))
    if divisor_override is not None:
        return total / divisor_override
    rows, columns = (
        _counts(int(input.shape[2 + i]), kernel[i], steps[i], edge[i], out, count_include_pad)
        for i, out in enumerate(total.shape[2:])
    )
    counts = np.outer(rows, columns)
    if (counts == counts[0, 0]).all():
        return total / int(counts[0, 0])
    return total / from_numpy(counts.astype(total.dtype))


def _counts(
    extent: int, kernel: int, stride: int, edge: int, out: int, with_padding: bool
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How many places each of ``out`` windows counts along one axis."""
    start = np.arange(out) * stride - edge
    stop = np.minimum(start + kernel, extent + edge)
    if with_padding:
        return stop - start
    return np.minimum(stop, extent) - np.maximum(start, 0)


def _paddings(
    input: Tensor, kernel: Pair, stride: Pair, edge: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Pair, ...]:
    """(low, high) per axis; ``ceil_mode`` lets a last window that starts inside hang over."""
    pads = []
    for axis in range(2):
        e, s = edge[axis], stride[axis]
        span = (kernel[axis] - 1) * dilation[axis] + 1
        high = e
        if ceil_mode:
            extent = int(input.shape[2 + axis])
            count = -(-(extent + 2 * e - span) // s) + 1
            if (count - 1) * s >= extent + e:
                count -= 1
            high = max(e, (count - 1) * s + span - extent - e)
        pads.append((e, high))
    return tuple(pads)


def _check(input: Tensor, name: str, kernel: Pair, edge: Pair) -> None:
    if input.ndim != 4:
        raise misfit(
            f"{name} takes [n, c, h, w] or [c, h, w], not {list(input.shape)}",
            hint="add the missing axes with unsqueeze",
        )
    if any(2 * e > k for e, k in zip(edge, kernel, strict=True)):
        raise misfit(
            f"{name}: padding {edge} is more than half of the window {kernel}",
            hint="a window must hold at least one place of the image",
        )
