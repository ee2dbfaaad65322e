"""Channels in, the same values as places out, and back: moves between channels and pixels."""

from __future__ import annotations

from engine.nn.functional.checks import misfit
from engine.tensor import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels become pixels: [..., c * r * r, h, w] -> [..., c, h * r, w * r]."""
    r = upscale_factor
    _check(input, "pixel_shuffle", r)
    *lead, channels, h, w = input.shape
    if channels % (r * r):
        raise misfit(f"pixel_shuffle: {channels} channels are not a multiple of {r} * {r}")
    c, rank = channels // (r * r), len(lead)
    parts = input.reshape(*lead, c, r, r, h, w)
    order = (rank, rank + 3, rank + 1, rank + 4, rank + 2)
    return parts.permute(*range(rank), *order).reshape(*lead, c, h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Pixels become channels: [..., c, h * r, w * r] -> [..., c * r * r, h, w]."""
    r = downscale_factor
    _check(input, "pixel_unshuffle", r)
    *lead, c, height, width = input.shape
    if height % r or width % r:
        raise misfit(f"pixel_unshuffle: {height} x {width} is not a multiple of {r}")
    h, w, rank = height // r, width // r, len(lead)
    parts = input.reshape(*lead, c, h, r, w, r)
    order = (rank, rank + 2, rank + 4, rank + 1, rank + 3)
    return parts.permute(*range(rank), *order).reshape(*lead, c * r * r, h, w)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of ``groups`` groups in turn: [n, c, ...] -> [n, c, ...]."""
    if input.ndim < 3:
        raise misfit(f"channel_shuffle takes at least 3 axes, not {list(input.shape)}")
    n, c, *places = input.shape
    if groups < 1 or c % groups:
        raise misfit(f"channel_shuffle: {c} channels are not a multiple of {groups} groups")
    parts = input.reshape(n, groups, c // groups, *places)
    return parts.transpose(1, 2).reshape(n, c, *places)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """``channel_shuffle`` by the name of PyTorch's own kernel."""
    return channel_shuffle(input, groups)


def _check(input: Tensor, name: str, factor: int) -> None:
    if input.ndim < 3:
        raise misfit(f"{name} takes [..., c, h, w], not {list(input.shape)}")
    if factor < 1:
        raise misfit(f"{name}: the factor must be positive, not {factor}")
