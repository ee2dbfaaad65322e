"""An axis and its tile in, the runs of tiles that cover it out, and where each tile lies."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from codegen.index import Axis
from codegen.nest import LANES
from codegen.vector.address import Linear, Place
from codegen.vector.builder import Builder, Value
from ir.dims import Size


@dataclass(frozen=True)
class Span:
    """``count`` tiles of ``size`` steps (vectors along the vector axis) from step ``first``."""

    first: int
    count: Size
    size: int
    ragged: bool = False  # the last vector has lanes that do not exist


def spans(axis: Axis, size: int, is_vector: bool) -> list[Span]:
    """The tiles that cover an axis: whole ones, then the ragged rest."""
    if not isinstance(axis.extent, int):
        return [Span(0, axis.extent, 1, is_vector)]
    steps = ceil(axis.extent / LANES) if is_vector else axis.extent
    ragged = is_vector and axis.extent % LANES != 0
    whole = steps // size if not ragged else (steps - 1) // size
    found = [Span(0, whole, size)] if whole else []
    if steps > whole * size:
        found.append(Span(whole * size, 1, steps - whole * size, ragged))
    return found


def place_in(b: Builder, tile: Value | None, span: Span, is_vector: bool) -> Place:
    """Where tile number ``tile`` of a span begins; None: its only one."""
    width = LANES if is_vector else 1
    step = span.size * width
    first = Linear(offset=span.first * width)
    if tile is not None:
        start = b.pure(f"mul i64 {{0}}, {step}", "i64", tile, multiple=step)
        first = Linear(((start, 1),), first.offset)
    if not is_vector:
        return Place(first)
    lanes = Linear(step=1)
    return Place(first.plus(lanes), first, lanes)
