"""A nest in, how its points are shared among threads out: a stated rule for each way.

- *tiles*: a product with at least four rows and columns and a sum of at least eight;
- *columns*: a reduction of at least 32 elements whose neighbours in memory are other points, over
  points too few to give every thread one;
- *rows*: any other reduction of at least eight elements, along which neighbours lie, and every nest
  that stores along its rows;
- *points*: everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from codegen.cuda.product import Product, product_of
from codegen.cuda.rows import Group
from codegen.cuda.tile import Tile, choose_tile
from codegen.index import Axis
from codegen.lanes import length, step_along
from codegen.nest import Load, Nest, Reduce, walk
from codegen.scatter import scatter_of

WARP = 32
BLOCK = 256  # threads of a block
LONG = 8  # elements of a reduction that are worth sharing
TALL = 32  # the same where other threads read the neighbours
MANY = 1 << 15  # points that give every thread one
WIDEST = 1024  # elements of a row that a warp takes alone


@dataclass(frozen=True)
class Tiles:
    """A block for every tile of a product."""

    product: Product
    tile: Tile


Way = Tiles | Group | None


def way_of(nest: Nest, block: int = BLOCK, warp: int = WARP) -> Way:
    """How the points of ``nest`` are shared; None: a thread for each."""
    if scatter_of(nest) is not None:
        return None
    tiles = _tiles(nest)
    if tiles is not None:
        return tiles
    reduces = [e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]
    along = any(root.within for root in nest.roots)
    if not reduces and not along:
        return None
    size = max((_size(reduce.axes) for reduce in reduces), default=1)
    size = max(size, *(_size(root.within) for root in nest.roots))
    points = _size(nest.axes)
    if not along and _reads_across(nest, reduces):
        wanted = size >= TALL and points < MANY
        return Group(block // warp, warp, block, across=True) if wanted else None
    if size < LONG and not along:
        return None
    return Group(_threads(size, points, block, warp), warp, block)


def _tiles(nest: Nest) -> Tiles | None:
    product = product_of(nest)
    if product is None:
        return None
    batch, rows, columns = (_size(a) for a in (product.batch, product.rows, product.columns))
    itemsize = product.core.dtype.itemsize
    tile = choose_tile(batch, rows, columns, _size(product.inner), product.pool, itemsize)
    return None if tile is None else Tiles(product, tile)


def _threads(size: int, points: int, block: int, warp: int) -> int:
    """Threads for a row: as many as it has elements, up to a warp; a block for long ones."""
    if size > WIDEST or (size > 8 * warp and points * warp < MANY):
        return block
    threads = 1
    while threads < min(size, warp):
        threads *= 2
    return threads


def _reads_across(nest: Nest, reduces: list[Reduce]) -> bool:
    """Whether what is reduced lies side by side for neighbouring points."""
    across = along = 0
    for reduce in reduces:
        for load in (e for e in walk([reduce.body]) if isinstance(e, Load)):
            across += any(step_along(load, axis) == 1 for axis in nest.axes)
            along += any(
                step_along(load, axis) == 1 and length(axis) >= WARP // 4 for axis in reduce.axes
            )
    return across > along


def _size(axes: tuple[Axis, ...]) -> int:
    return prod(length(axis) for axis in axes)
