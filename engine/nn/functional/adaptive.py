"""Images and a wanted size in, images of that size out: means and maxima of near-equal parts.

Place ``i`` of ``out`` covers ``floor(i * size / out)`` up to ``ceil((i + 1) * size / out)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.creation import from_numpy
from engine.dispatch import apply
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import Sizes, at_least
from engine.nn.functional.pooling import Positions, check_image, flat_positions
from engine.tensor import Tensor
from ir.types import I64

Wanted: TypeAlias = "int | Sequence[int | None] | None"


def adaptive_avg_pool1d(input: Tensor, output_size: Wanted) -> Tensor:
    """The means of ``output_size`` parts: [n, c, l] (or [c, l]) -> [n, c, output_size]."""
    return _adaptive_avg(input, output_size, 1)


def adaptive_avg_pool2d(input: Tensor, output_size: Wanted) -> Tensor:
    """The means of near-equal parts: [n, c, h, w] (or [c, h, w]) -> [n, c, *output_size].

    ``output_size`` is one int or one an axis; None keeps the axis. Parts overlap by one place
    where the sizes do not divide.
    """
    return _adaptive_avg(input, output_size, 2)


def adaptive_avg_pool3d(input: Tensor, output_size: Wanted) -> Tensor:
    """The means of near-equal parts: [n, c, d, h, w] -> [n, c, *output_size]."""
    return _adaptive_avg(input, output_size, 3)


def adaptive_max_pool1d(input: Tensor, output_size: Wanted, return_indices: bool = False) -> Any:
    """The maxima of ``output_size`` parts: [n, c, l] -> [n, c, output_size]."""
    return _adaptive_max(input, output_size, return_indices, 1)


def adaptive_max_pool2d(input: Tensor, output_size: Wanted, return_indices: bool = False) -> Any:
    """The maxima of near-equal parts: [n, c, h, w] -> [n, c, *output_size].

    With ``return_indices`` the pair (maxima, their int64 positions in the flattened image).
    """
    return _adaptive_max(input, output_size, return_indices, 2)


def adaptive_max_pool3d(input: Tensor, output_size: Wanted, return_indices: bool = False) -> Any:
    """The maxima of near-equal parts: [n, c, d, h, w] -> [n, c, *output_size]."""
    return _adaptive_max(input, output_size, return_indices, 3)


def _adaptive_avg(input: Tensor, output_size: Wanted, rank: int) -> Tensor:
    check_image(input, f"adaptive_avg_pool{rank}d", rank)
    sizes, wanted = _sizes(input, output_size, rank)
    lead = input.ndim - rank
    if all(o and s % o == 0 for s, o in zip(sizes, wanted, strict=True)):
        parts, axes = _equal_parts(input, sizes, wanted)
        count = int(np.prod([s // o for s, o in zip(sizes, wanted, strict=True)]))
        return apply("sum", parts, axes=axes) / count
    for axis, (size, out) in enumerate(zip(sizes, wanted, strict=True)):
        start, stop = _bounds(size, out)
        at = np.arange(size)[:, None]
        inside = ((at >= start) & (at < stop)) / (stop - start)
        matrix = from_numpy(inside.astype(input.dtype))
        contract = ((lead + axis,), (0,))
        input = apply("dot", input, matrix, contract=contract, batch=((), ()))
        input = input.movedim(-1, lead + axis)
    return input


def _adaptive_max(input: Tensor, output_size: Wanted, return_indices: bool, rank: int) -> Any:
    check_image(input, f"adaptive_max_pool{rank}d", rank)
    sizes, wanted = _sizes(input, output_size, rank)
    parts = [_covered(*pair) for pair in zip(sizes, wanted, strict=True)]
    if all(o and s % o == 0 for s, o in zip(sizes, wanted, strict=True)):
        view, axes = _equal_parts(input, sizes, wanted)
    else:
        view, axes = _parts(input, parts)
    best = apply("max", view, axes=axes)
    if not return_indices:
        return best
    at = apply("argmax", view, axes=axes, dtype=I64)
    table = _part_positions(parts, sizes, wanted)
    rows = np.arange(int(np.prod(wanted))).reshape(wanted) * table.shape[-1]
    return best, apply("take", from_numpy(table.reshape(-1)), at + from_numpy(rows), axis=0)


def _equal_parts(input: Tensor, sizes: Sizes, wanted: Sizes) -> tuple[Tensor, Sizes]:
    """Each axis split in (part, place within it), and the axes of the latter."""
    lead = input.ndim - len(sizes)
    split = [n for s, o in zip(sizes, wanted, strict=True) for n in (o, s // o)]
    view = input.reshape(*input.shape[:lead], *split)
    return view, tuple(range(lead + 1, view.ndim, 2))


def _parts(input: Tensor, parts: list[Positions]) -> tuple[Tensor, Sizes]:
    """As ``_equal_parts`` for parts that overlap; short ones repeat their last place."""
    lead = input.ndim - len(parts)
    for axis, places in enumerate(parts):
        input = apply("take", input, from_numpy(places), axis=lead + 2 * axis)
    return input, tuple(range(lead + 1, input.ndim, 2))


def _part_positions(parts: list[Positions], sizes: Sizes, wanted: Sizes) -> Positions:
    """The position in the flattened image of every place of every part: [*wanted, places]."""
    flat = flat_positions([places.reshape(-1) for places in parts], list(sizes))
    split = [n for places in parts for n in places.shape]
    rank = len(parts)
    order = (*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))
    return flat.reshape(split).transpose(order).reshape(*wanted, -1)


def _covered(size: int, out: int) -> Positions:
    """The places of every part, [out, longest]; short parts repeat their last place."""
    start, stop = _bounds(size, out)
    longest = int((stop - start).max(initial=1))
    places: Positions = np.minimum(start[:, None] + np.arange(longest), stop[:, None] - 1)
    return places


def _bounds(size: int, out: int) -> tuple[Positions, Positions]:
    at = np.arange(out)
    return at * size // max(out, 1), -(-(at + 1) * size // max(out, 1))


def _sizes(input: Tensor, output_size: Wanted, rank: int) -> tuple[Sizes, Sizes]:
    sizes = tuple(int(size) for size in input.shape[-rank:])
    given: list[int | None]
    given = (
        list(output_size) if isinstance(output_size, list | tuple) else [_one(output_size)] * rank
    )
    if len(given) == 1:
        given = given * rank
    if len(given) != rank:
        raise misfit(f"output_size must be an int or {rank} ints, not {output_size!r}")
    wanted = tuple(s if o is None else int(o) for s, o in zip(sizes, given, strict=True))
    at_least(0, output_size=wanted)
    return sizes, wanted


def _one(size: Wanted) -> int | None:
    if size is None or isinstance(size, int):
        return size
    raise TypeError(f"output_size: expected ints or None, not {size!r}")
