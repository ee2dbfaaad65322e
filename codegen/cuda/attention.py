"""An attention's three nests in, one kernel that keeps its scores in shared memory out.

A block has some rows of queries. It computes their scores with all keys, a tile of columns at a
time; a warp makes each row's softmax; and the weights are the left operand of the last product.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codegen.cuda.body import CudaBody
from codegen.cuda.chain import Chain, turned
from codegen.cuda.product import Product, product_of, steps
from codegen.cuda.rows import Group, RowsBody
from codegen.cuda.tile import SHARED, TINY, Tile
from codegen.cuda.tiles import TilesBody
from codegen.index import ZERO, Axis, Index, axes_of, of_axis
from codegen.nest import Buffer, Nest
from codegen.portable.names import Names, all_axes

TILES = (Tile(32, 32, 16, 2, 2), Tile(16, 32, 16, 2, 2))


@dataclass(frozen=True)
class Attention:
    """The products of scores and of results, and the tile of both.

    ``row`` is the axis of queries in the softmax; ``batch`` the axes that number independent
    attentions, in each of the parts, in the order of the scores' dimensions.
    """

    chain: Chain
    scores: Product
    result: Product
    tile: Tile
    row: Axis
    batch: tuple[tuple[Axis, ...], ...]
    warp: int


def attention_of(nest: Nest, block: int, warp: int) -> Attention | None:
    """How a chain is computed in blocks of at most ``block`` threads; None where it is not."""
    if not isinstance(nest, Chain):
        return None
    first, rows, last = nest.parts
    (weights,) = rows.roots
    (load,) = [load for load in last.loads if load.buffer is weights.buffer]
    places = [_axes(index[:-1]) for index in (first.roots[0].index, weights.index, load.index)]
    products = product_of(first), product_of(last)
    if None in places or None in products:
        return None
    (query, row, out) = (axes[-1] for axes in places if axes)
    batch = tuple(tuple(a for a in axes[:-1] if a is not None) for axes in places if axes)
    if query is None or row is None or out is None:
        return None
    scores, result = (turned(p, a) for p, a in zip(products, (query, out), strict=True) if p)
    if scores is None or result is None:
        return None
    if {*batch[0]} != {*scores.batch} or {*batch[2]} != {*result.batch}:
        return None
    width, itemsize = steps([weights.within[0]]), weights.buffer.dtype.itemsize
    for tile in [t for t in TILES if t.threads <= block] or TINY[:1]:
        if (tile.elements + tile.rows * width) * itemsize <= SHARED:
            return Attention(nest, scores, result, tile, row, batch, warp)
    return None


def _axes(index: Sequence[Index]) -> list[Axis | None] | None:
    """The axis that each part of an index is (None: it does not move); None for anything else."""
    found: list[Axis | None] = []
    for part in index:
        axes = axes_of(part)
        if len(axes) > 1 or (not axes and part != ZERO):
            return None
        axis = next(iter(axes), None)
        if axis is not None and part != of_axis(axis):
            return None
        found.append(axis)
    return found


class Inside(CudaBody):
    """Reads and writes some buffers in shared memory, a block's rows of them."""

    inside: frozenset[Buffer] = frozenset()
    shared_name = ""
    first = ""  # the block's first row

    def _place(self, buffer: Buffer, index: Sequence[Index]) -> str:
        if buffer not in self.inside:
            return super()._place(buffer, index)
        row, column = (self.places.index(part) for part in index[-2:])
        return f"{self.shared_name}[(({row}) - {self.first}) * {buffer.shape[-1]} + ({column})]"


class ProductBody(Inside, TilesBody):
    """A product of a block's rows, one tile of columns after the other."""

    def tiles_of_columns(self) -> None:
        """All of the block's rows of the product."""
        count, at = self.tiles_of("columns"), self.names.fresh("column_tile")
        with self.block(f"for {at} in range({count}):"):
            self.add(f"{self.word['first_column']} = {at} * {self.tile.columns}")
            self._find_operands()
            self._sums()
            self._finish()
            self.add("cuda.syncthreads()")


class SoftmaxBody(Inside, RowsBody):
    """A warp for every row of the block's."""

    def keeps(self, size: int) -> bool:
        """Only where every lane has as many: one without would read what another one writes."""
        return super().keeps(size) and size % self.group.size == 0

    def rows_of_block(self, attention: Attention) -> None:
        """Every row that exists: all lanes of a warp have the same one."""
        warps = attention.tile.threads // self.group.size
        row, turn = self.names.axes[attention.row], self.names.fresh("turn")
        self.add(f"{self.lane} = remainder(thread, {self.group.size})")
        with self.block(f"for {turn} in range({attention.tile.rows // warps}):"):
            own = f"{turn} * {warps} + quotient(thread, {self.group.size})"
            self.add(f"{row} = {self.first} + {own}")
            self.places.axes[attention.row] = row
            with self.block(f"if {row} < {self.extent(attention.row)}:"):
                self._row("")


class AttentionBody(CudaBody):
    """A block for every few rows of queries."""

    def __init__(self, names: Names, attention: Attention) -> None:
        chain = attention.chain
        super().__init__(chain, names)
        self.attention = attention
        scores, rows, last = chain.parts
        self.scores = ProductBody(scores, names, attention.scores, attention.tile)
        group = Group(attention.warp, attention.warp, attention.tile.threads)
        self.rows = SoftmaxBody(rows, names, group)
        self.result = ProductBody(last, names, attention.result, attention.tile)
        name, first = names.fresh("scores"), self.scores.word["first_row"]
        for part in (self.scores, self.rows, self.result):
            part.inside = frozenset({scores.roots[0].buffer, rows.roots[0].buffer})
            part.shared_name, part.first = name, first
        for word in ("tiles", "first_row"):
            self.result.word[word] = self.scores.word[word]
        self.place = names.fresh("place")

    @property
    def blocks_wanted(self) -> str:
        """Blocks of queries, as an expression of the sizes."""
        count = self.places.size(self.count(self.attention.batch[0]))
        return f"{self.scores.tiles_of('rows')} * ({count})"

    def lines(self) -> list[str]:
        """Scores, softmax and result, one after the other."""
        self._find_rows()
        parts: tuple[CudaBody, ...] = (self.scores, self.rows, self.result)
        for part, batch in zip(parts, self.attention.batch, strict=True):
            ones = [axis for axis in all_axes(part.nest) if axis.extent == 1]
            part.places.axes.update((axis, "0") for axis in ones)
            part.take_apart(self.place, batch)
            if isinstance(part, ProductBody):
                part.tiles_of_columns()
            elif isinstance(part, SoftmaxBody):
                part.rows_of_block(self.attention)
                part.add("cuda.syncthreads()")
            self.head += part.head
            self.body += part.body
        return [*self.head, *self.body]

    def _find_rows(self) -> None:
        """The block's queries, and which of the independent attentions they are of."""
        tile, word = self.attention.tile, self.scores.word
        (weights,) = self.attention.chain.parts[1].roots
        dtype = weights.buffer.dtype
        size = f"{tile.rows} * {weights.buffer.shape[-1]}"
        self.add(f"{word['tiles']} = cuda.shared.array({tile.elements}, np.{dtype}, alignment=16)")
        self.add(f"{self.rows.shared_name} = cuda.shared.array({size}, np.{dtype})")
        self.add("thread = cuda.threadIdx.x")
        count = self.scores.tiles_of("rows")
        block = "cuda.blockIdx.x"
        self.add(f"{word['first_row']} = {self.divided('remainder', block, count)} * {tile.rows}")
        self.add(f"{self.place} = {self.divided('quotient', block, count)}")


def names_of(chain: Chain, reserved: Iterable[str]) -> Names:
    """Names for everything in all parts."""
    roots = tuple(root for part in chain.parts for root in part.roots)
    axes = tuple(dict.fromkeys(axis for part in chain.parts for axis in part.axes))
    return Names(Nest(chain.name, axes, roots), reserved)
