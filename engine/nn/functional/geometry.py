"""Kernel sizes, strides and paddings as people write them in, pairs of ints out.

Convolution and pooling share their geometry (ADR 1), so they share the reading of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from engine.dispatch import apply
from engine.tensor import Tensor

Pair: TypeAlias = tuple[int, int]
IntOrPair: TypeAlias = int | Sequence[int]


def pair(value: IntOrPair) -> Pair:
    """``3`` and ``(3, 3)`` both as ``(3, 3)``.

    Raises TypeError for anything else.
    """
    if isinstance(value, int):
        return value, value
    sizes = list(value) if isinstance(value, list | tuple) else []
    if len(sizes) not in (1, 2) or not all(isinstance(size, int) for size in sizes):
        raise TypeError(f"expected an int or a pair of ints, not {value!r}")
    return sizes[0], sizes[-1]


def padding_pairs(padding: IntOrPair | str, kernel: Pair, stride: Pair, dilation: Pair) -> Any:
    """``padding`` as (low, high) for the height and for the width; knows 'same' and 'valid'.

    Raises ValueError for another word, and for 'same' under a stride.
    """
    if not isinstance(padding, str):
        return tuple((p, p) for p in pair(padding))
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding != "same":
        raise ValueError(f"padding must be 'same', 'valid' or sizes, not {padding!r}")
    if stride != (1, 1):
        raise ValueError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def windows(
    x: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Sequence[Pair],
    dilation: Pair = (1, 1),
    fill: float = 0.0,
) -> Tensor:
    """``x`` [..., h, w] as windows [..., ho, wo, kh, kw] of its padded height and width."""
    (top, bottom), (left, right) = padding
    lead = (0,) * (x.ndim - 2)
    if top or bottom or left or right:
        low, high, none = (*lead, top, left), (*lead, bottom, right), (*lead, 0, 0)
        x = apply("pad", x, low=low, high=high, interior=none, value=fill)
    axes = (x.ndim - 2, x.ndim - 1)
    return apply("window", x, axes=axes, size=kernel, stride=stride, dilation=dilation)
