"""A nest in, how its points are shared among threads out: a stated rule for each way.

- *attention*: scores, their softmax and the product with values, or the gradients of all that,
  where nobody else reads them;
- *push*: sums of at least 64 values at computed places that do not depend on the column;
- *tiles*: a product with at least four rows and columns and a sum of at least eight;
- *columns*: a reduction of at least 32 elements whose neighbours in memory are other points, over
  points too few to give every thread one;
- *rows*: any other reduction of at least eight elements, along which neighbours lie, and every nest
  that stores along its rows;
- *apart*: several results at one point, without a reduction: each has a block of its own;
- *points*: everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from codegen.cuda.attention_body import Attention, attention_of
from codegen.cuda.product import Product, product_of
from codegen.cuda.push import BLOCKS as PUSH_BLOCKS, Push
from codegen.cuda.rows import Group
from codegen.cuda.tensor import TENSOR_TILES, tiles_of
from codegen.cuda.tile import Tile, choose_tile
from codegen.index import Axis
from codegen.lanes import length, step_along
from codegen.nest import Apply, Buffer, Expr, Load, Nest, Reduce, Root, walk
from codegen.scatter import Scatter, scatter_of
from ir.types import BF16, F16, F32, DType, is_half, short

WARP = 32
BLOCK = 256  # threads of a block
LONG = 8  # elements of a reduction that are worth sharing
TALL = 32  # the same where other threads read the neighbours
PUSHED = 64  # values at computed places that are worth sharing
MANY = 1 << 15  # points that give every thread one
WIDEST = 1024  # elements of a row that a warp takes alone


@dataclass(frozen=True)
class Tiles:
    """A block for every tile of a product; ``tensor``: what tensor cores multiply, if they do."""

    product: Product
    tile: Tile
    tensor: str = ""


@dataclass(frozen=True)
class Apart:
    """A block for every group of roots; groups have nothing to do with one another."""

    groups: tuple[tuple[Root, ...], ...]


Way = Tiles | Group | Apart | Push | Attention | None


def way_of(nest: Nest, block: int = BLOCK, warp: int = 0, precision: str = "default") -> Way:
    """How the points of ``nest`` are shared; None: a thread for each.

    ``precision`` of products: "default", "exact", or by tensor cores "tf32" or "bf16".
    """
    warp = warp or min(WARP, block)
    attention = attention_of(nest, block, warp)
    if attention is not None:
        return attention
    scatter = scatter_of(nest)
    if scatter is not None:
        return _push(nest, scatter, block)
    apart = _apart(nest)
    if apart is not None:
        return apart
    tiles = _tiles(nest, block, precision)
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
        if size < TALL or points >= MANY:
            return None
        block *= 2 if size >= 8 * TALL else 1
        return Group(block // warp, warp, block, across=True)
    if size < LONG and not along:
        return None
    return Group(_threads(size, points, block, warp), warp, block)


def _tiles(nest: Nest, block: int, precision: str) -> Tiles | None:
    product = product_of(nest)
    if product is None:
        return None
    batch, rows, columns = (_size(a) for a in (product.batch, product.rows, product.columns))
    itemsize, depth = product.core.dtype.itemsize, _size(product.inner)
    tensor = _tensor(product, block, precision)
    among = tiles_of(tensor) if tensor else None
    tile = choose_tile(batch, rows, columns, depth, product.pool, itemsize, block, among)
    return None if tile is None else Tiles(product, tile, tensor)


def _tensor(product: Product, block: int, precision: str) -> str:
    """What tensor cores multiply: what was asked for, or halves as they are; "" for neither."""
    warps = block >= min(tile.threads for tile in TENSOR_TILES)
    if product.core.dtype != F32 or precision == "exact" or not warps:
        return ""
    stored = {_stored(factor.value) for factor in (product.left, product.right)}
    if stored in ({BF16}, {F16}):
        return short(stored.pop() or F32)
    return precision if precision in ("tf32", "bf16") else ""


def _stored(value: Expr) -> DType | None:
    """The half precision that a float32 comes from, if it does."""
    cast = isinstance(value, Apply) and value.op == "cast" and is_half(value.args[0].dtype)
    return value.args[0].dtype if cast else None


def _push(nest: Nest, scatter: Scatter, block: int) -> Push | None:
    rows = scatter.row.extent
    if scatter.outer or not isinstance(rows, int) or _size(scatter.values) < PUSHED:
        return None
    columns = _size(tuple(axis for axis in nest.axes if axis != scatter.row))
    threads = block
    while threads > WARP and threads >= 2 * columns:
        threads //= 2
    return Push(scatter, rows, -(-rows // PUSH_BLOCKS), threads)


def _apart(nest: Nest) -> Apart | None:
    """The roots of a nest of one point in groups: none writes what another group reads."""
    values = [root.value for root in nest.roots]
    reduces = any(isinstance(e, Reduce) for e in walk(values))
    if len(nest.roots) < 2 or reduces or any(axis.extent != 1 for axis in nest.axes):
        return None
    written = {root.buffer for root in nest.roots}
    groups: list[tuple[set[Buffer], list[Root]]] = []
    for root in nest.roots:
        touched = {e.buffer for e in walk([root.value]) if isinstance(e, Load)} & written
        touched.add(root.buffer)
        near = [group for group in groups if group[0] & touched]
        buffers = touched.union(*(group[0] for group in near))
        roots = [*(r for group in near for r in group[1]), root]
        groups = [group for group in groups if group not in near] + [(buffers, roots)]
    found = tuple(tuple(r for r in nest.roots if r in roots) for _, roots in groups)
    return Apart(found) if len(found) > 1 else None


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
