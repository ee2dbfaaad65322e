"""Images in, the same images at other sizes out: nearest, linear, cubic and area resampling.

Every mode is separable: one axis after another is gathered at positions known from the sizes
alone, and the linear and cubic modes weigh two or four neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.creation import from_numpy
from engine.dispatch import apply, rounded_once
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.nn.functional.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from engine.nn.functional.checks import misfit
from engine.nn.functional.smoothing import (
    FILTERS,
    neighbour_matrix,
    smoothing_matrix,
    through,
)
from engine.tensor import Tensor
from ir.types import F64, is_float

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2, "lanczos": 2}
AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
CUBIC = -0.75  # the slope parameter that PyTorch chose


@rounded_once
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """[n, c, l], [n, c, h, w] or [n, c, d, h, w] at ``size``, or ``scale_factor`` times larger.

    ``mode`` is 'nearest', 'nearest-exact', 'area', or, for 1, 2 and 3 places, 'linear',
    'bilinear' or 'bicubic', 'trilinear'. ``antialias`` filters before shrinking, for 'bilinear',
    'bicubic' and 'lanczos' (which is there with it only). Float tensors; images of bytes (uint8)
    also nearest, bilinear, bicubic and lanczos.

    >>> F.interpolate(torch.ones(1, 2, 3, 4), scale_factor=2).shape
    Size([1, 2, 6, 8])
    """
    rank = input.ndim - 2
    _check(input, rank, mode, align_corners, antialias)
    sizes = tuple(int(n) for n in input.shape[2:])
    wanted, factors = _wanted(sizes, size, scale_factor)
    if any(n < 1 for n in (*sizes, *wanted)):
        raise misfit(f"interpolate: sizes must be positive, {list(sizes)} to {list(wanted)}")
    if recompute_scale_factor:
        if size is not None:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size")
        factors = None
    if mode == "area":
        return AREA[rank](input, wanted)
    resample = _smoothed if antialias else _resample
    for axis in reversed(range(rank)):  # the last first: bytes are rounded after every axis
        factor = None if factors is None else factors[axis]
        input = resample(input, 2 + axis, wanted[axis], factor, mode, bool(align_corners))
    return input


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """``interpolate`` by its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """``interpolate`` by the nearest place."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """``interpolate`` linearly along two axes, the corners on the corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def _resample(
    x: Tensor, axis: int, out: int, factor: float | None, mode: str, corners: bool
) -> Tensor:
    """``x`` with ``out`` places along one axis."""
    size = int(x.shape[axis])
    if mode.startswith("nearest"):
        return _nearest(x, axis, _nearest_places(size, out, factor, mode == "nearest-exact"))
    if size == out:
        return x
    cubic = mode == "bicubic"
    at = _source(size, out, factor, corners, x.dtype if is_float(x.dtype) else F64)
    at = at if cubic else np.maximum(at, 0)
    first = np.floor(at)
    weights = _cubic_weights(at - first) if cubic else [1 - (at - first), at - first]
    if not is_float(x.dtype):
        return through(x, axis, neighbour_matrix(size, out, first.astype(int) - cubic, weights))
    total: Tensor | None = None
    for step, weight in enumerate(weights):
        places = np.clip(first.astype(np.int64) + step - cubic, 0, size - 1)
        along = [1] * x.ndim
        along[axis] = out
        part = apply("take", x, from_numpy(places), axis=axis)
        part = part * from_numpy(weight.astype(x.dtype).reshape(along))
        total = part if total is None else total + part
    assert total is not None
    return total


def _smoothed(
    x: Tensor, axis: int, out: int, factor: float | None, mode: str, corners: bool
) -> Tensor:
    """As ``_resample``, antialiased."""
    size = int(x.shape[axis])
    if size == out:
        return x
    return through(x, axis, smoothing_matrix(size, out, factor, mode, corners))


def _nearest(x: Tensor, axis: int, places: Array) -> Tensor:
    """Places that repeat evenly are a broadcast, whose gradient is a sum; others are taken."""
    size, out = int(x.shape[axis]), len(places)
    if out % size == 0 and (places == np.arange(out) // (out // size)).all():
        return x if out == size else x.repeat_interleave(out // size, axis)
    return apply("take", x, from_numpy(places), axis=axis)


def _nearest_places(size: int, out: int, factor: float | None, exact: bool) -> Array:
    """In float32, as PyTorch."""
    scale = np.float32(size) / np.float32(out)
    if factor:
        scale = np.float32(1.0 / factor)
    at = np.arange(out, dtype=np.float32) + np.float32(0.5 if exact else 0)
    places = np.floor(at * scale).astype(np.int64)
    if not exact and out in (size, 2 * size):
        places = np.arange(out) // (out // size)
    within: Array = np.minimum(places, size - 1)
    return within


def _source(size: int, out: int, factor: float | None, corners: bool, dtype: Any) -> Array:
    """Where each place of the result lies in the source, in the precision of ``dtype``."""
    real = dtype.type
    at = np.arange(out, dtype=dtype)
    if corners:
        spread: Array = at * (real(size - 1) / real(out - 1) if out > 1 else real(0))
        return spread
    scale = real(1.0 / factor) if factor else real(size) / real(out)
    centred: Array = scale * (at + real(0.5)) - real(0.5)
    return centred


def _cubic_weights(t: Array) -> list[Array]:
    """The weights of four neighbours; ``t`` beyond the second (Keys, 1981)."""

    def near(x: Array) -> Array:
        return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1

    def far(x: Array) -> Array:
        return ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _wanted(
    sizes: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], list[float] | None]:
    """The sizes of the result, and the factors that they came from."""
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate takes exactly one of size and scale_factor")
    given = scale_factor if size is None else size
    listed = list(given) if isinstance(given, list | tuple) else [given] * len(sizes)
    if len(listed) != len(sizes):
        raise ValueError(f"interpolate over {len(sizes)} axes got {listed}")
    if size is None:
        factors = [float(f) for f in listed]
        return tuple(math.floor(n * f) for n, f in zip(sizes, factors, strict=True)), factors
    if not all(isinstance(n, int) for n in listed):
        raise TypeError(f"interpolate: size must be ints, not {given!r}")
    return tuple(listed), None


def _check(input: Tensor, rank: int, mode: str, corners: bool | None, antialias: bool) -> None:
    if mode not in (*LINEAR, "nearest", "nearest-exact", "area"):
        raise NotImplementedError(f"interpolate has no mode {mode!r}")
    if corners is not None and mode not in LINEAR:
        raise ValueError(f"align_corners goes with {', '.join(LINEAR)} only")
    if antialias and (mode not in FILTERS or rank != 2):
        raise ValueError(f"antialias goes with {', '.join(FILTERS)} over two axes only")
    if rank not in (1, 2, 3) or LINEAR.get(mode, rank) != rank:
        text = f"interpolate: mode {mode!r} does not take an input of {input.ndim} axes"
        raise NotImplementedError(text)
    if mode == "lanczos" and (corners or not antialias):
        raise ValueError("mode 'lanczos' requires antialias=True and no align_corners")
    bytes_too = mode.startswith("nearest") or (mode in FILTERS and str(input.dtype) == "uint8")
    if not is_float(input.dtype) and not bytes_too:
        text = f"interpolate: mode {mode!r} takes float tensors, not {input.dtype}"
        raise DTypeError(message(user_location(), text, "call .float() first"))
