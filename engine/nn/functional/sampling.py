"""Images and places in, the values at those places out: sampling by grids, and affine grids.

Along each axis a place is one, two or four neighbours with their weights; the value is the
weighted sum over the product of the axes' neighbours, each gathered from the flattened image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from engine.arithmetic import add, mul, where
from engine.creation import from_numpy, zeros_like
from engine.dispatch import apply, cast, rounded_once
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import at_least
from engine.specials import round as nearest_even
from engine.tensor import Tensor
from ir.types import BOOL, I64, is_float

MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
CUBIC = -0.75  # the slope parameter that PyTorch chose

# (weight, place) pairs
Neighbours: TypeAlias = list[tuple[Tensor, Tensor]]


@rounded_once
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """``input`` [n, c, h, w] at ``grid`` [n, ho, wo, 2] -> [n, c, ho, wo]; likewise in 3 axes.

    The grid holds (x, y), or (x, y, z), from -1 to 1: the centres of the corner pixels with
    ``align_corners``, else their outer edges. As in PyTorch, mode 'nearest' gives the grid a
    gradient of zeros, and so do places at or beyond the border of 'border' and 'reflection'.
    """
    _check(input, grid, mode, padding_mode)
    sizes = [int(size) for size in input.shape[2:]]
    n, c, rank = input.shape[0], input.shape[1], len(sizes)
    corners = bool(align_corners)
    axes = []
    for axis, size in enumerate(sizes):
        at = _pixels(grid[..., rank - 1 - axis], size, corners)
        if mode != "bicubic":
            at = _inside(at, size, padding_mode, corners)
        pairs = _neighbours(at, mode)
        if mode == "bicubic":
            pairs = [(w, _inside(place, size, padding_mode, corners)) for w, place in pairs]
        axes.append([_bounded(w, place, size) for w, place in pairs])
    places = grid.shape[1:-1]
    flat = input.reshape(n, c, prod(sizes))
    parts = []
    for chosen in product(*axes):
        weight, at = reduce(mul, [w for w, _ in chosen]), chosen[0][1]
        for size, (_, step) in zip(sizes[1:], chosen[1:], strict=True):
            at = at * size + step
        index = at.reshape(n, 1, prod(places)).expand(n, c, prod(places))
        value = apply("take_along", flat, index, axis=2)
        parts.append(value * weight.reshape(n, 1, prod(places)))
    return reduce(add, parts).reshape(n, c, *places)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Where ``theta`` [n, 2, 3] sends the pixels of an image of ``size`` (n, c, h, w).

    A grid [n, h, w, 2] for ``grid_sample``; [n, 3, 4] and (n, c, d, h, w) give [n, d, h, w, 3].
    """
    rank = len(size) - 2
    if rank not in (2, 3) or tuple(theta.shape) != (size[0], rank, rank + 1):
        raise misfit(
            f"affine_grid takes theta [n, 2, 3] and (n, c, h, w), or [n, 3, 4] and "
            f"(n, c, d, h, w), not {list(theta.shape)} and {tuple(size)}"
        )
    if not is_float(theta.dtype):
        text = f"affine_grid takes a float theta, not {theta.dtype}"
        raise DTypeError(message(user_location(), text))
    sizes = tuple(int(n) for n in size[2:])
    at_least(1, size=tuple(int(n) for n in size))
    lines = [_line(n, bool(align_corners)) for n in reversed(sizes)]
    grid = np.meshgrid(*reversed(lines), indexing="ij")[::-1]
    base = np.stack([*grid, np.ones(sizes)], axis=-1).astype(theta.dtype)
    contract = ((rank,), (2,))
    out = apply("dot", from_numpy(base), theta, contract=contract, batch=((), ()))
    return out.movedim(rank, 0)


def _line(size: int, corners: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if size == 1:
        return np.zeros(1)
    return np.linspace(-1.0, 1.0, size) * (1.0 if corners else (size - 1) / size)


def _pixels(x: Tensor, size: int, corners: bool) -> Tensor:
    """-1 to 1 as 0 to size - 1, or as -0.5 to size - 0.5."""
    return (x + 1) / 2 * (size - 1) if corners else ((x + 1) * size - 1) / 2


def _inside(at: Tensor, size: int, padding_mode: str, corners: bool) -> Tensor:
    """Places moved into the image as the padding mode says; 'zeros' leaves them."""
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        at = _reflected(at, *((0.0, size - 1.0) if corners else (-0.5, size - 0.5)))
    within = (at > 0) & (at < size - 1)  # at the very border there is no gradient, as in PyTorch
    return where(within, at, at.detach().clamp(0, size - 1))


def _reflected(at: Tensor, low: float, high: float) -> Tensor:
    if high == low:
        return at * 0
    width = high - low
    away = (at - low).abs()
    turns = (away / width).floor().detach()
    rest = away - turns * width
    even = (turns / 2).floor() * 2 == turns
    return where(even, rest + low, high - rest)


def _neighbours(at: Tensor, mode: str) -> Neighbours:
    if mode == "nearest":
        never = zeros_like(at, dtype=BOOL)  # keeps the grid on the tape: its gradient is zeros
        return [(where(never, at, 1.0), nearest_even(at.detach()))]
    first = at.detach().floor()
    t = at - first
    if mode == "bilinear":
        return [(1 - t, first), (t, first + 1)]
    weights = (_far(t + 1), _near(t), _near(1 - t), _far(2 - t))
    return [(w, first + step) for w, step in zip(weights, (-1, 0, 1, 2), strict=True)]


def _near(t: Tensor) -> Tensor:
    """The cubic weight of a neighbour less than 1 away (Keys, 1981)."""
    return ((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1


def _far(t: Tensor) -> Tensor:
    """The cubic weight of a neighbour from 1 to 2 away."""
    return ((CUBIC * t - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC


def _bounded(weight: Tensor, place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The weight, 0 outside the image, and the place as an integer within it."""
    place = place.detach()
    hit = (place >= 0) & (place <= size - 1)
    return where(hit, weight, 0.0), cast(where(hit, place, 0.0), I64)


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"grid_sample: mode must be one of {MODES}, not {mode!r}")
    if padding_mode not in PADDINGS:
        raise ValueError(f"grid_sample: padding_mode must be one of {PADDINGS}")
    rank = input.ndim - 2
    fits = grid.ndim == input.ndim and tuple(grid.shape[:: len(grid.shape) - 1]) == (
        input.shape[0],
        rank,
    )
    if rank not in (2, 3) or not fits or (mode == "bicubic" and rank != 2):
        raise misfit(
            f"grid_sample ({mode}) takes [n, c, h, w] and [n, ho, wo, 2], or in 3 axes, not "
            f"{list(input.shape)} and {list(grid.shape)}",
            hint="bicubic takes images of two axes only",
        )
    if any(size == 0 for size in input.shape[2:]):
        raise misfit(f"grid_sample: the image {list(input.shape)} is empty")
    if input.dtype != grid.dtype or not is_float(input.dtype):
        text = f"grid_sample takes float tensors of one dtype, not {input.dtype} and {grid.dtype}"
        raise DTypeError(message(user_location(), text))
