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
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) in (1, 2):
        return int(value[0]), int(value[-1])
    raise TypeError(f"expected an int or a pair of ints, not {value!r}")


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
    """``x`` [n, c, h, w] as windows [n, c, ho, wo, kh, kw] of its padded height and width."""
    (top, bottom), (left, right) = padding
    if top or bottom or left or right:
        low, high = (0, 0, top, left), (0, 0, bottom, right)
        x = apply("pad", x, low=low, high=high, interior=(0, 0, 0, 0), value=fill)
    return apply("window", x, axes=(2, 3), size=kernel, stride=stride, dilation=dilation)
