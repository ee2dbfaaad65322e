"""Kernel sizes, strides and paddings as people write them in, one int an axis out.

Convolution, pooling and folding share their geometry (ADR 1), so they share the reading of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from engine.dispatch import apply
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.tensor import Tensor

Sizes: TypeAlias = tuple[int, ...]
IntOrSizes: TypeAlias = int | Sequence[int]
Pads: TypeAlias = tuple[tuple[int, int], ...]

AXES = {1: "l", 2: "h, w", 3: "d, h, w"}


def per_axis(value: IntOrSizes, rank: int, what: str = "sizes") -> Sizes:
    """``3``, ``(3,)`` and ``(3, 3)`` all as ``(3, 3)`` for rank 2.

    Raises TypeError for what is no int, ShapeError for another number of them.
    """
    if isinstance(value, int):
        return (value,) * rank
    sizes = tuple(value) if isinstance(value, list | tuple) else ()
    if not isinstance(value, list | tuple) or not all(isinstance(size, int) for size in sizes):
        raise TypeError(f"{what}: expected an int or {rank} ints, not {value!r}")
    if len(sizes) not in (1, rank):
        text = f"{what}: expected an int or {rank} ints, not {value!r}"
        raise ShapeError(message(user_location(), text))
    return sizes if len(sizes) == rank else sizes * rank


def at_least(low: int, **named: Sizes) -> None:
    """Raise ShapeError for a size below ``low``, by its name."""
    for name, sizes in named.items():
        if any(size < low for size in sizes):
            text = f"{name} must be at least {low}, not {list(sizes)}"
            raise ShapeError(message(user_location(), text))


def span(kernel: Sizes, dilation: Sizes) -> Sizes:
    """How many places a window reaches over, per axis."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))


def padding_pairs(padding: IntOrSizes | str, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Pads:
    """``padding`` as (low, high) per axis; knows 'same' and 'valid'.

    Raises ShapeError for another word, for 'same' under a stride, and for negative sizes.
    """
    if not isinstance(padding, str):
        edges = per_axis(padding, len(kernel), "padding")
        at_least(0, padding=edges)
        return tuple((p, p) for p in edges)
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    problem = ""
    if padding != "same":
        problem = f"padding must be 'same', 'valid' or sizes, not {padding!r}"
    elif any(s != 1 for s in stride):
        problem = "padding='same' is not supported for strided convolutions"
    if problem:
        raise ShapeError(message(user_location(), problem))
    return tuple(((n - 1) // 2, n - 1 - (n - 1) // 2) for n in span(kernel, dilation))


def windows(
    x: Tensor,
    kernel: Sizes,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    fill: float = 0.0,
) -> Tensor:
    """``x`` [..., h, w] as windows [..., ho, wo, kh, kw] of its padded last axes."""
    lead = x.ndim - len(kernel)
    if any(low or high for low, high in padding):
        low = (0,) * lead + tuple(a for a, _ in padding)
        high = (0,) * lead + tuple(b for _, b in padding)
        x = apply("pad", x, low=low, high=high, interior=(0,) * x.ndim, value=fill)
    axes = tuple(range(lead, x.ndim))
    return apply("window", x, axes=axes, size=kernel, stride=stride, dilation=dilation)


def cropped(x: Tensor, low: Sizes, sizes: Sizes) -> Tensor:
    """``sizes`` places of the last axes, from ``low`` on; zeros beyond the end."""
    lead, own = x.ndim - len(sizes), tuple(x.shape)
    stop = tuple(min(a + n, own[lead + i]) for i, (a, n) in enumerate(zip(low, sizes, strict=True)))
    if any(low) or stop != own[lead:]:
        start, end = (0,) * lead + low, own[:lead] + stop
        x = apply("slice", x, start=start, stop=end, step=(1,) * x.ndim)
    short = tuple(n - m for n, m in zip(sizes, tuple(x.shape)[lead:], strict=True))
    if not any(short):
        return x
    none = (0,) * x.ndim
    return apply("pad", x, low=none, high=(0,) * lead + short, interior=none, value=0.0)
