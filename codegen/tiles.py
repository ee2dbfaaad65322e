"""Images and taps in, their convolution by way of tiles out, where that takes less.

A tile is square where the kernel is small: its transforms along both axes save the square of what
one saves. They cost more with every tap, and round more; larger kernels have tiles along one axis,
and add up what the taps of the other make of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from codegen.toom_cook import Matrix, transforms
from ir import make
from ir.dims import Size
from ir.graph import Location, Node
from ir.types import F32

# taps along each axis: how many results a tile may have
SQUARE = {2: (4, 3, 2), 3: (4, 3, 2)}
ALONG = {3: (6, 5, 4, 3), 4: (6, 5, 4, 3), 5: (5, 4, 3, 2), 6: (4, 3, 2), 7: (3, 2)}
FEWEST_ROWS = 8  # of a batch: tiles are computed with the batch in the lanes
GAIN = 1.4  # of the estimate, below which the direct sum stays
MIXING = 8.0  # multiply-adds that making and storing one element of a transformed tile is worth


@dataclass(frozen=True)
class _Way:
    """Tiles of ``m`` results by ``r`` taps: square, or along columns or rows, for each of the taps
    ``across``."""

    m: int
    r: int
    across: int
    square: bool = False
    rows: bool = False

    @property
    def n(self) -> int:
        return self.m + self.r - 1


def convolved(
    x: Node,
    w: Node,
    turned: bool,
    loc: Location | None,
    direct: float | None = None,
) -> Node | None:
    """[..., N, C, H, W] by taps [..., C, K, q, r], ``turned`` or not, for every place of the axes
    before: [..., N, K, H - q + 1, W - r + 1]. None where that gains nothing over ``direct``
    products for each result and channel (``q * r`` if not told).
    """
    many, taps = x.type.rank - 4, _pair(w)
    sizes = [int(size) - r + 1 for size, r in zip(x.shape[-2:], taps, strict=True)]
    channels = int(x.shape[many + 1]), int(w.shape[many + 1])
    way = _cheapest(_ways(taps), x, sizes, channels, direct or prod(taps))
    if way is None:
        return None
    if way.square:
        return _convolved_square(x, w, turned, way, sizes, loc)
    if way.rows:
        y = _convolved_along(_swapped(x), _swapped(w), turned, way, sizes[::-1], loc)
        return _swapped(y)
    return _convolved_along(x, w, turned, way, sizes, loc)


def correlated(x: Node, g: Node, taps: tuple[int, int], loc: Location | None) -> Node | None:
    """Images [N, C, H, W] and gradients [N, K, H - q + 1, W - r + 1]: [q, r, K, C]; or None."""
    sizes = list(_pair(g))
    channels = int(x.shape[1]), int(g.shape[1])
    way = _cheapest(_ways(taps), x, sizes, channels, prod(taps))
    whole = [size + r - 1 for size, r in zip(sizes, taps, strict=True)]
    if way is None or list(x.shape[2:]) != whole:
        return None
    if way.square:
        return _correlated_square(x, g, way, sizes, loc)
    if way.rows:
        w = _correlated_along(_swapped(x), _swapped(g), way, sizes[::-1], loc)
        return make.transpose(w, (1, 0, 2, 3))
    return _correlated_along(x, g, way, sizes, loc)


def spread(x: Node, w: Node, kept: Sequence[tuple[int, int]], loc: Location | None) -> Node | None:
    """What images [N, K, h, w] by taps [K, C, q, r] add up to, at the places ``kept`` of
    [N, C, h + q - 1, w + r - 1]; None where tiles along an axis gain nothing."""
    taps, sizes, channels = _pair(w), list(_pair(x)), (int(w.shape[1]), int(w.shape[0]))
    # two tiles overlap at most
    ways = [way for way in _ways(taps) if not way.square and way.m >= way.r - 1]
    reached = [min(size, stop - start) for size, (start, stop) in zip(sizes, kept, strict=True)]
    way = _cheapest(ways, x, sizes, channels, prod(taps) * prod(reached) / prod(sizes))
    if way is None:
        return None
    if way.rows:
        y = _spread_along(_swapped(x), _swapped(w), way, sizes[::-1], kept[::-1], loc)
        return _swapped(y)
    return _spread_along(x, w, way, sizes, kept, loc)


# -- square tiles -----------------------------------------------------------------------------


def _convolved_square(
    x: Node,
    w: Node,
    turned: bool,
    way: _Way,
    sizes: Sequence[int],
    loc: Location | None,
) -> Node:
    m, many = way.m, x.type.rank - 4
    with_ = transforms(m, way.r)
    taps = _turned(with_.taps) if turned else with_.taps
    tiles = _square_tiles(x, way, sizes, loc, channels_last=True)
    front, end = tuple(range(many)), many + 2
    w = make.transpose(w, (end, end + 1, *front, many, many + 1))
    points = _mixed(w, 0, taps, loc)  # [n, n, ..., C, K]
    batch = ((end + 1, end + 2, *front), tuple(range(end)))
    products = _at(make.dot(tiles, points, ((end + 3,), (end,)), batch), loc)
    y = _mixed(products, 0, with_.interpolate, loc)  # [m, m, ..., N, rows, columns, K]
    y = make.transpose(y, (*(axis + 2 for axis in front), end, end + 3, end + 1, end + 2, 0, 1))
    extent = [int(size) * m for size in y.shape[end : end + 2]]
    y = make.fold(_at(y, loc), (end, end + 1), (m, m), (m, m), (1, 1), extent)
    return _cropped(y, sizes, loc)


def _correlated_square(
    x: Node, g: Node, way: _Way, sizes: Sequence[int], loc: Location | None
) -> Node:
    m = way.m
    with_ = transforms(way.r, m)
    tiles = _square_tiles(x, way, sizes, loc)
    g = _padded(g, (0, 0, *(-size % m for size in sizes)))
    g = make.window(g, (2, 3), (m, m), (m, m), (1, 1))
    grads = _mixed(make.transpose(g, (4, 5, 0, 1, 2, 3)), 0, with_.taps, loc)
    products = make.dot(grads, tiles, ((2, 4, 5), (2, 4, 5)), ((0, 1), (0, 1)))
    return _mixed(_at(products, loc), 0, with_.interpolate, loc)


def _square_tiles(
    x: Node,
    way: _Way,
    sizes: Sequence[int],
    loc: Location | None,
    channels_last: bool = False,
) -> Node:
    """Overlapping tiles of [..., N, C, H, W], transformed: [n, n, ..., N, C, rows, columns], or
    [..., N, rows, columns, n, n, C].

    Sums over channels want their neighbours close. Sums over tiles want each channel's tiles in one
    piece: pieces a power of two apart meet in the same few places of the first cache.
    """
    m, n, many = way.m, way.n, x.type.rank - 4
    rows = many + 2
    x = _padded(x, (*(0,) * rows, *(-size % m for size in sizes)))
    tiles = _at(make.window(x, (rows, rows + 1), (n, n), (m, m), (1, 1)), loc)
    if channels_last:
        order, at = (*range(many), many, rows, rows + 1, rows + 2, rows + 3, many + 1), rows + 1
    else:
        order, at = (rows + 2, rows + 3, *range(many), many, many + 1, rows, rows + 1), 0
    return _mixed(_at(make.transpose(tiles, order), loc), at, transforms(m, way.r).tile, loc)


def _mixed(x: Node, at: int, rows: Matrix, loc: Location | None) -> Node:
    """Two axes of ``x``, from ``at``, by ``rows``."""
    return _at(make.mix(_at(make.mix(x, at, rows), loc), at + 1, rows), loc)


# -- tiles along one axis: the columns ----------------------------------------------------------


def _convolved_along(
    x: Node,
    w: Node,
    turned: bool,
    way: _Way,
    sizes: Sequence[int],
    loc: Location | None,
) -> Node:
    m, many = way.m, x.type.rank - 4
    with_ = transforms(m, way.r)
    front, end = tuple(range(many)), many + 2
    tiles = _tiles_along(x, way, sizes, loc)  # [..., N, H, columns, n, C]
    tiles = make.window(tiles, (many + 1,), (way.across,), (1,), (1,))
    w = make.transpose(w, (end + 1, end, *front, many, many + 1))
    if turned:
        w = make.flip(w, (0, 1))
    points = _at(make.mix(w, 0, with_.taps), loc)  # [n, q, ..., C, K]
    contract = ((end + 2, end + 3), (end, 1))
    batch = ((end + 1, *front), (0, *(axis + 2 for axis in front)))
    products = _at(make.dot(tiles, points, contract, batch), loc)
    y = _at(make.mix(products, 0, with_.interpolate), loc)  # [m, ..., N, rows, columns, K]
    y = make.transpose(y, (*(axis + 1 for axis in front), many + 1, end + 2, end, end + 1, 0))
    y = make.fold(_at(y, loc), (end + 1,), (m,), (m,), (1,), [int(y.shape[end + 1]) * m])
    return _cropped(y, sizes, loc)


def _spread_along(
    x: Node,
    w: Node,
    way: _Way,
    sizes: Sequence[int],
    kept: Sequence[tuple[int, int]],
    loc: Location | None,
) -> Node:
    """The transpose of ``_convolved_along``: every matrix is, and tiles of the result overlap."""
    m, across = way.m, way.across
    with_ = transforms(m, way.r)
    tiles = _gradient_tiles(x, way, sizes, loc)
    points = _at(make.mix(make.transpose(w, (3, 2, 0, 1)), 0, with_.taps), loc)  # [n, q, K, C]
    products = _at(make.dot(tiles, points, ((4,), (2,)), ((3,), (0,))), loc)
    y = make.transpose(products, (0, 1, 2, 3, 5, 4))
    y = _at(make.fold(y, (2,), (across,), (1,), (1,), [sizes[0] + across - 1]), loc)
    (low, high), (left, right) = kept
    y = _at(make.slice(y, (0, 0, low, 0, 0), (*y.shape[:2], high, *y.shape[3:]), (1,) * 5), loc)
    y = _overlapped(y, _across(with_.tile), m, loc)  # [m, N, rows, columns + 1, C]
    y = make.transpose(y, (1, 4, 2, 3, 0))
    y = make.fold(_at(y, loc), (3,), (m,), (m,), (1,), [int(y.shape[3]) * m])
    return _at(make.slice(_at(y, loc), (0, 0, 0, left), (*y.shape[:3], right), (1,) * 4), loc)


def _overlapped(y: Node, rows: Matrix, m: int, loc: Location | None) -> Node:
    """Tiles that are ``rows`` of ``y``, ``m`` apart along axis 3 and as long as two at most, added
    up: ``m`` rows, and one more place along axis 3."""
    empty = ((0.0,) * len(rows[0]),) * (2 * m - len(rows))
    first = _at(make.mix(y, 0, rows[:m]), loc)
    second = _at(make.mix(y, 0, (*rows[m:], *empty)), loc)
    none, one = (0,) * 5, (0, 0, 0, 1, 0)
    return make.add(make.pad(first, none, one), make.pad(second, one, none))


def _correlated_along(
    x: Node, g: Node, way: _Way, sizes: Sequence[int], loc: Location | None
) -> Node:
    """The other transpose, by the same tiles of the gradient."""
    tiles = _tiles_along(x, way, sizes, loc)  # [N, H, columns, n, C]
    tiles = make.window(tiles, (1,), (way.across,), (1,), (1,))
    grads = _gradient_tiles(g, way, sizes, loc)
    products = make.dot(grads, tiles, ((0, 1, 2), (0, 1, 2)), ((3,), (3,)))  # [n, K, C, q]
    taps = _across(transforms(way.m, way.r).taps)
    return make.transpose(_at(make.mix(_at(products, loc), 0, taps), loc), (3, 0, 1, 2))


def _gradient_tiles(g: Node, way: _Way, sizes: Sequence[int], loc: Location | None) -> Node:
    """What each point has of a result's gradient [N, K, h, w]: [N, h, columns, n, K]."""
    m = way.m
    g = _padded(g, (0, 0, 0, -sizes[1] % m))
    g = make.transpose(make.window(g, (3,), (m,), (m,), (1,)), (0, 2, 3, 4, 1))
    return _at(make.mix(g, 3, _across(transforms(m, way.r).interpolate)), loc)


def _tiles_along(x: Node, way: _Way, sizes: Sequence[int], loc: Location | None) -> Node:
    """Tiles of [..., N, C, H, W] along the columns, transformed: [..., N, H, columns, n, C].

    All points of a tile lie side by side: arrays of one point each, a power of two apart, would
    meet in the same few places of the first cache.
    """
    m, many = way.m, x.type.rank - 4
    rows = many + 2
    x = _padded(x, (*(0,) * (rows + 1), -sizes[1] % m))
    tiles = _at(make.window(x, (rows + 1,), (way.n,), (m,), (1,)), loc)
    order = (*range(many), many, rows, rows + 1, rows + 2, many + 1)
    tiles = _at(make.transpose(tiles, order), loc)
    return _at(make.mix(tiles, rows + 1, transforms(m, way.r).tile), loc)


# -- both -------------------------------------------------------------------------------------


def _cheapest(
    ways: Sequence[_Way], x: Node, sizes: Sequence[int], channels: tuple[int, int], taps: float
) -> _Way | None:
    """The tiles that cost least; None where direct sums of so many ``taps`` are as good."""
    images = x.shape[-4]
    small = isinstance(images, int) and images < FEWEST_ROWS
    if small or x.dtype != F32 or 0 in (*x.shape, *channels):
        return None
    costs = {way: _cost(way, sizes, channels) for way in ways}
    best = min(costs, key=lambda way: costs[way], default=None)
    direct = prod(sizes) * taps * prod(channels)
    return best if best is not None and direct > GAIN * costs[best] else None


def _ways(taps: tuple[int, int]) -> list[_Way]:
    q, r = taps
    if q == r and r in SQUARE:
        return [_Way(m, r, r, square=True) for m in SQUARE[r]]
    along = [_Way(m, r, q) for m in ALONG.get(r, ())]
    return along + [_Way(m, q, r, rows=True) for m in ALONG.get(q, ())]


def _cost(way: _Way, sizes: Sequence[int], channels: tuple[int, int]) -> float:
    """Multiply-adds of the products, and what making and storing the tiles is worth."""
    m, n = way.m, way.n
    if way.square:
        tiles = prod(ceil(size / m) for size in sizes) * n * n
        return tiles * (prod(channels) + MIXING * sum(channels))
    lines, along = sizes if not way.rows else sizes[::-1]
    images, results = channels
    products = lines * (way.across * prod(channels) + MIXING * results)
    return ceil(along / m) * n * (products + (lines + way.across - 1) * MIXING * images)


def _pair(x: Node) -> tuple[int, int]:
    """The sizes of its last two axes."""
    return int(x.shape[-2]), int(x.shape[-1])


def _turned(rows: Matrix) -> Matrix:
    return tuple(row[::-1] for row in rows)


def _across(rows: Matrix) -> Matrix:
    return tuple(zip(*rows, strict=True))


def _swapped(x: Node) -> Node:
    """``x`` with its last two axes the other way round."""
    rank = x.type.rank
    return make.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def _cropped(y: Node, sizes: Sequence[Size], loc: Location | None) -> Node:
    shape = (*y.shape[:-2], *sizes)
    return _at(make.slice(_at(y, loc), (0,) * len(shape), shape, (1,) * len(shape)), loc)


def _padded(x: Node, high: tuple[int, ...]) -> Node:
    """``x`` with zeros after it; of a padded array one node, the same for every reader."""
    if not any(high):
        return x
    low: tuple[int, ...] = (0,) * x.type.rank
    perm = tuple(range(x.type.rank))
    source = x
    if source.op.name == "transpose":
        perm, source = source.attrs["perm"], source.inputs[0]
    inner = [0] * len(perm)
    for at, axis in enumerate(perm):
        inner[axis] = high[at]
    if source.op.name == "pad" and source.attrs["value"] == 0 and not any(source.attrs["interior"]):
        low = source.attrs["low"]
        inner = [a + b for a, b in zip(source.attrs["high"], inner, strict=True)]
        (source,) = source.inputs
    return make.transpose(_at(make.pad(source, low, inner), x.loc), perm)


def _at(node: Node, loc: Location | None) -> Node:
    return Node(node.op, node.inputs, node.attrs, node.type, loc)
