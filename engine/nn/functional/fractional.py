"""Images in, smaller images out: maxima of windows at random places (Graham, 2014).

The windows of one axis start at ``floor((i + u) * step) - floor(u * step)`` for a ``u`` drawn once
a channel, the last one at the end; neighbours are one of two whole steps apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from engine.arithmetic import add
from engine.creation import from_numpy, full_like
from engine.dispatch import apply, cast
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrSizes, Sizes, at_least, per_axis
from engine.nn.functional.pooling import check_image
from engine.sampling import rand
from engine.shaping import cat
from engine.tensor import Tensor
from ir.types import I64

Ratio = float | Sequence[float] | None


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: IntOrSizes,
    output_size: IntOrSizes | None = None,
    output_ratio: Ratio = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The maxima of windows at random places: [n, c, h, w] (or [c, h, w]) -> [n, c, ho, wo].

    Exactly one of ``output_size`` and ``output_ratio`` (between 0 and 1) tells the size.
    ``_random_samples`` [n, c, 2] in [0, 1) fixes the places, for (w, h). With ``return_indices``
    the pair (maxima, their int64 positions in the flattened image).
    """
    options = (kernel_size, output_size, output_ratio, _random_samples, 2)
    best, at = _fractional(input, *options)
    return (best, at) if return_indices else best


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: IntOrSizes,
    output_size: IntOrSizes | None = None,
    output_ratio: Ratio = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """As ``fractional_max_pool2d``, in three axes; ``_random_samples`` is for (d, h, w)."""
    options = (kernel_size, output_size, output_ratio, _random_samples, 3)
    best, at = _fractional(input, *options)
    return (best, at) if return_indices else best


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: IntOrSizes,
    output_size: IntOrSizes | None = None,
    output_ratio: Ratio = None,
    return_indices: bool = True,
    _random_samples: Tensor | None = None,
) -> Any:
    """``fractional_max_pool2d`` and the positions of the maxima, as a pair."""
    return _fractional(input, kernel_size, output_size, output_ratio, _random_samples, 2)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: IntOrSizes,
    output_size: IntOrSizes | None = None,
    output_ratio: Ratio = None,
    return_indices: bool = True,
    _random_samples: Tensor | None = None,
) -> Any:
    """``fractional_max_pool3d`` and the positions of the maxima, as a pair."""
    return _fractional(input, kernel_size, output_size, output_ratio, _random_samples, 3)


def _fractional(
    input: Tensor,
    kernel_size: IntOrSizes,
    output_size: IntOrSizes | None,
    output_ratio: Ratio,
    samples: Tensor | None,
    rank: int,
) -> tuple[Tensor, Tensor]:
    check_image(input, f"fractional_max_pool{rank}d", rank)
    if input.ndim == rank + 1:
        batch = (kernel_size, output_size, output_ratio, samples, rank)
        best, at = _fractional(input.unsqueeze(0), *batch)
        return best.squeeze(0), at.squeeze(0)
    n, c = input.shape[:2]
    sizes = tuple(int(size) for size in input.shape[2:])
    kernel = per_axis(kernel_size, rank, "kernel_size")
    wanted = _wanted(sizes, output_size, output_ratio)
    at_least(1, kernel_size=kernel, output_size=wanted)
    if any(o + k - 1 > s for o, k, s in zip(wanted, kernel, sizes, strict=True)):
        raise misfit(f"output_size {wanted} and windows of {kernel} are too large for {sizes}")
    if samples is None:
        samples = rand(n, c, rank, dtype=input.dtype)
    elif samples.ndim == 3 and samples.shape[0] != n:  # more than the batch are allowed
        samples = samples[:n]
    if tuple(samples.shape) != (n, c, rank):
        raise misfit(f"_random_samples must be {[n, c, rank]}, not {list(samples.shape)}")
    inside = []
    for axis, (size, out, k) in enumerate(zip(sizes, wanted, kernel, strict=True)):
        drawn = samples[:, :, rank - 1 - axis if rank == 2 else axis]
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = out, k
        start = _starts(drawn, size, out, k).unsqueeze(-1) + from_numpy(np.arange(k))
        inside.append((start * int(np.prod(sizes[axis + 1 :]))).reshape(n, c, *shape))
    total, count = int(np.prod(wanted)), int(np.prod(kernel))
    places = reduce(add, inside).reshape(n, c, total * count)
    flat = input.reshape(n, c, int(np.prod(sizes)))
    values = apply("take_along", flat, places, axis=2)
    split = (n, c, total, count)
    best = apply("argmax", values.reshape(*split), axes=(3,), dtype=I64)
    at = apply("take_along", places.reshape(*split), best.unsqueeze(-1), axis=3).squeeze(3)
    return apply("take_along", flat, at, axis=2).reshape(n, c, *wanted), at.reshape(n, c, *wanted)


def _starts(drawn: Tensor, size: int, out: int, kernel: int) -> Tensor:
    """Where the windows start: int64 [n, c, out]."""
    first = drawn.unsqueeze(-1)
    last = full_like(first, size - kernel, dtype=I64)
    if out == 1:
        return last
    step = float(np.asarray(size - kernel, drawn.dtype) / np.asarray(out - 1, drawn.dtype))
    steps = from_numpy(np.arange(out - 1).astype(drawn.dtype))
    starts = cast((first + steps) * step, I64) - cast(first * step, I64)
    return cat([starts, last], -1)


def _wanted(sizes: Sizes, output_size: IntOrSizes | None, output_ratio: Ratio) -> Sizes:
    if (output_size is None) == (output_ratio is None):
        raise ValueError("fractional pooling takes exactly one of output_size and output_ratio")
    if output_size is not None:
        return per_axis(output_size, len(sizes), "output_size")
    ratios = ratio_per_axis(output_ratio, len(sizes))
    return tuple(int(size * ratio) for size, ratio in zip(sizes, ratios, strict=True))


def ratio_per_axis(ratio: Ratio, rank: int) -> tuple[float, ...]:
    """One ratio an axis; none for None."""
    if ratio is None:
        return ()
    return (ratio,) * rank if isinstance(ratio, int | float) else tuple(ratio)
