"""Two sizes in, the matrix [size, out] of one axis' resampling out, and images through it.

Antialiasing widens the filter by the factor of shrinking, so that every place of the source
counts; images of bytes are weighed in whole numbers, as PyTorch does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from engine.creation import from_numpy
from engine.dispatch import apply, cast
from engine.tensor import Tensor
from ir.types import F64, is_float

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def smoothing_matrix(size: int, out: int, factor: float | None, mode: str, corners: bool) -> Array:
    """The antialiased weights [size, out] in float64; each column sums to 1."""
    reach, filtered = FILTERS[mode]
    if corners:
        scale = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        scale = 1 / factor if factor else size / out
    wide = max(scale, 1.0)
    support = reach * wide
    centre = scale * (np.arange(out) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + support + 0.5).astype(np.int64), size)
    at = np.arange(size)[:, None]
    weights = filtered((at - centre + 0.5) / wide) * ((at >= first) & (at < stop))
    total = weights.sum(0)
    normal: Array = weights / np.where(total == 0, 1, total)
    return normal


def neighbour_matrix(size: int, out: int, first: Array, weights: list[Array]) -> Array:
    """Weights of neighbours from ``first`` on, clipped to the image, as [size, out]."""
    matrix = np.zeros((size, out))
    for step, weight in enumerate(weights):
        places = np.clip(first + step, 0, size - 1)
        np.add.at(matrix, (places, np.arange(out)), weight)
    return matrix


def through(x: Tensor, axis: int, matrix: Array) -> Tensor:
    """``x`` times the matrix along one axis; bytes by ``_bytes_through``."""
    if not is_float(x.dtype):
        return _bytes_through(x, axis, matrix)
    weights = from_numpy(matrix.astype(x.dtype))
    out = apply("dot", x, weights, contract=((axis,), (0,)), batch=((), ()))
    return out.movedim(-1, axis)


def _bytes_through(x: Tensor, axis: int, matrix: Array) -> Tensor:
    """Weights as whole numbers of 16 bits, the sum rounded and cut to 0..255; exact in float64."""
    most, bits = matrix.max(initial=0.0), 0
    while bits < 22 and int(0.5 + most * 2 ** (bits + 1)) < 1 << 15:
        bits += 1
    scaled = matrix * float(1 << bits)
    whole = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5))
    total = through(cast(x, F64), axis, whole)
    rounded = ((total + float(1 << bits >> 1)) / float(1 << bits)).floor()
    return cast(rounded.clamp(0, 255), x.dtype)


def _triangle(x: Array) -> Array:
    inside: Array = np.maximum(1 - np.abs(x), 0)
    return inside


def _cubic(x: Array) -> Array:
    """Keys' filter (1981) with the slope -0.5, not the -0.75 of the mode without antialiasing."""
    x, slope = np.abs(x), -0.5
    near = ((slope + 2) * x - (slope + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * slope
    chosen: Array = np.where(x < 1, near, np.where(x < 2, far, 0))
    return chosen


def _lanczos(x: Array) -> Array:
    """The sinc windowed by a sinc three times as wide."""
    inside: Array = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return inside


FILTERS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, _lanczos),
}
