"""An attention's nest in, its kernel out: what the forward and the backward kernels share.

A block loads its own rows of the left operands once. Then it walks along the other axis, a tile at
a time: scores are multiplied in registers, weights or gradients are laid into shared memory, and
the products with them add up in registers, to be stored at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from codegen.cuda.attention import AttentionNest, product_of_part, product_of_scores
from codegen.cuda.blocks import Blocks, Room, blocks_of, room_of, widths
from codegen.cuda.body import CudaBody
from codegen.cuda.panels import PanelBody, Walk
from codegen.cuda.tiles import own_place
from codegen.index import Axis, of_axis
from codegen.nest import Buffer, Expr, Load, Nest, Reduce, Root
from codegen.portable.names import Names, all_axes
from codegen.portable.reductions import Conditions


@dataclass(frozen=True)
class Attention:
    """How an attention's kernel is computed: in blocks of these sizes."""

    nest: AttentionNest
    blocks: Blocks
    warp: int


def attention_of(nest: Nest, block: int, warp: int) -> Attention | None:
    """How ``nest`` is computed in blocks of at most ``block`` threads; None where it is not one."""
    if not isinstance(nest, AttentionNest):
        return None
    blocks = blocks_of(nest, block)
    return None if blocks is None else Attention(nest, blocks, warp)


class AttentionBody(CudaBody):
    """A block for every few points of one axis."""

    def __init__(self, names: Names, way: Attention, values: Sequence[Expr]) -> None:
        work = way.nest.work
        super().__init__(values_nest(way.nest, values), names)
        self.work, self.sizes = work, way.blocks
        self.room: Room = room_of(way.nest, way.blocks)
        self.stands: dict[Expr, str] = {}  # names of values that are known at a point
        fresh = names.fresh
        self.tiles, self.first, self.start = fresh("tiles"), fresh("first_row"), fresh("start")
        pairs = zip(work.cores, self.room.panels, strict=True)
        self.products = [self._product(way.nest, core, at) for core, at in pairs]
        self.results = [
            self._result(way.nest, at, width)
            for at, width in enumerate(widths(way.nest, way.blocks))
        ]

    def _product(self, nest: AttentionNest, core: Reduce, panel: int) -> PanelBody:
        """The product of scores (or slopes) ``core``."""
        product = product_of_scores(core, self.work.weights, self.work.blocked)
        tile = self.sizes.tile(self.sizes.columns)
        part = PanelBody(values_nest(nest, [core]), self.names, product, tile, panel, self.room)
        part.word["first_column"] = self.start
        return self._share_words(part)

    def _result(self, nest: AttentionNest, at: int, width: int) -> PanelBody:
        """Part ``at``, the product with tile ``at``."""
        work, part = self.work, self.work.parts[at]
        product = product_of_part(part, work.weights, work.blocked, work.walked)
        inside = replace(nest, axes=(*work.weights.batch, work.blocked, *part.columns))
        inside = replace(inside, roots=tuple(replace(root, within=()) for root in part.roots))
        tile, room = self.sizes.tile(width), self.room
        made = PanelBody(inside, self.names, product, tile, room.tiles[at], room)
        made.walk = Walk(self.start, self.sizes.columns)
        return self._share_words(made)

    def _share_words(self, part: PanelBody) -> PanelBody:
        part.word["tiles"], part.word["first_row"] = self.tiles, self.first
        part.head, part.body = self.head, self.body
        return part

    @property
    def blocks_wanted(self) -> str:
        """Blocks of rows, as an expression of the sizes."""
        count = self.places.size(self.count(self.work.weights.batch))
        return f"{self.products[0].tiles_of('rows')} * ({count})"

    def recall(self, expr: Expr, under: Conditions) -> str | None:
        return self.stands.get(expr) or super().recall(expr, under)

    def run(self, part: PanelBody, *steps: Callable[[], None]) -> None:
        """Statements of a part, here."""
        part.depth = self.depth
        for step in steps:
            with part.scope():
                step()

    def lines(self) -> list[str]:
        """The whole kernel."""
        self._find_rows()
        for part in self.products:
            self.run(part, part.load_panel)
        self.before()
        for part in self.results:
            self.run(part, part._find_operands, part._start_sums)
        count, at = self.extent(self.work.walked), self.names.fresh("tile")
        turns = f"({count} + {self.sizes.columns - 1}) // {self.sizes.columns}"
        with self.block(f"for {at} in range({turns}):"):
            self.add(f"{self.start} = {at} * {self.sizes.columns}")
            self.step()
        self.after()
        free = self.room.results <= self.room.tiles[0]  # panels were read before a barrier
        for number, part in enumerate(self.results):
            self.run(part, part._store if free and number == 0 else part._finish)
        return [*self.head, *self.body]

    def before(self) -> None:
        """What is done before the walk."""

    def step(self) -> None:
        """One tile of the walk."""
        raise NotImplementedError

    def after(self) -> None:
        """What is done after the walk, before results are stored."""

    def _find_rows(self) -> None:
        """The block's rows, and which of the independent attentions they are of."""
        dtype, rows = self.work.weights.core.dtype, self.sizes.rows
        size = self.room.total
        self.add(f"{self.tiles} = cuda.shared.array({size}, np.{dtype}, alignment=16)")
        self.add("thread = cuda.threadIdx.x")
        count, block = self.products[0].tiles_of("rows"), "cuda.blockIdx.x"
        place = self.names.fresh("place")
        self.add(f"{self.first} = {self.divided('remainder', block, count)} * {rows}")
        self.add(f"{place} = {self.divided('quotient', block, count)}")
        batch = self.work.weights.batch
        self.take_apart(place, batch)
        for part in (self, *self.products, *self.results):
            ones = [axis for axis in all_axes(part.nest) if axis.extent == 1]
            part.places.axes.update((axis, "0") for axis in ones)
            part.places.axes.update((axis, self.places.axes[axis]) for axis in batch)

    # -- a tile of values -----------------------------------------------------------------------

    def multiply(self) -> None:
        """Scores (and slopes) of one tile, in every thread's registers."""
        for at, part in enumerate(self.products):
            if at:
                self.pause(self.products[at - 1])
            self.run(part, part._find_operands, part._start_sums, part.multiply)

    def pause(self, part: PanelBody) -> None:
        """A barrier, if the last step of ``part`` is read where the next product's first one will
        lie: steps lie in two places by turns."""
        if part.turns % 2:
            self.add("cuda.syncthreads()")

    def lay(self, values: Sequence[Expr], fills: Sequence[str], stats: Iterable[Load]) -> None:
        """This thread's elements of ``values`` into the tiles; ``fills`` where there is none.

        ``stats`` are numbers of the rows of queries that they load: once for each of these.
        """
        first = self.products[0]
        tile, work = first.tile, self.work
        rows = [own_place(first.thread_row, i, tile.down, tile.rows) for i in range(tile.down)]
        columns = [
            own_place(first.thread_column, j, tile.over, tile.columns) for j in range(tile.over)
        ]
        down = self._own(work.blocked, self.first, rows, tile.rows)
        over = self._own(work.walked, self.start, columns, tile.columns)
        turned = work.blocked != work.weights.query
        stats = list(stats)
        for at in range(len(over if turned else down)):
            with self.scope():
                query = (over if turned else down)[at]
                with self._at([query]):
                    known: dict[Expr, str] = {stat: self._stat(stat, query) for stat in stats}
                for other in range(len(down if turned else over)):
                    i, j = (other, at) if turned else (at, other)
                    names: dict[Expr, str] = {p.product.core: p.sums[i, j] for p in self.products}
                    place = f"({columns[j]}) * {self.sizes.stride} + {rows[i]}"
                    with self._at([down[i], over[j]]), self.knowing(known | names):
                        self._lay_one(values, fills, [down[i], over[j]], place)

    def _lay_one(
        self, values: Sequence[Expr], fills: Sequence[str], at: Sequence[Own], place: str
    ) -> None:
        names = [self.names.fresh("value") for _ in values]
        tests = [own.exists for own in at if own.exists]
        if tests:
            for name, fill in zip(names, fills, strict=True):
                self.add(f"{name} = {fill}")
        with self.blocks([f"if {' and '.join(tests)}:"] if tests else []), self.scope():
            for name, value in zip(names, values, strict=True):
                self.add(f"{name} = {self.text(value, whole=True)}")
        for name, tile in zip(names, self.room.tiles, strict=False):
            self.add(f"{self.tiles}[{tile} + {place}] = {name}")

    def _own(self, axis: Axis, start: str, places: Sequence[str], size: int) -> list[Own]:
        """This thread's points of an axis."""
        found = []
        for place in places:
            name = self.names.fresh(self.names.axes[axis])
            self.add(f"{name} = {start} + {place}")
            exists = self.products[0]._exists(name, axis.extent, size)
            found.append(Own(axis, name, exists))
        return found

    def _stat(self, stat: Load, query: Own) -> str:
        """A number of a row, of the last one where the row does not exist."""
        last = f"min({query.name}, {self.extent(query.axis)} - 1)" if query.exists else query.name
        with self._at([Own(query.axis, f"({last})", "")]):
            name = self.names.fresh(stat.buffer.name)
            self.add(f"{name} = {self._place(stat.buffer, stat.index)}")
        return name

    @contextmanager
    def _at(self, points: Sequence[Own]) -> Iterator[None]:
        before = {own.axis: self.places.axes.get(own.axis, "") for own in points}
        self.places.axes.update((own.axis, own.name) for own in points)
        yield
        self.places.axes.update(before)

    @contextmanager
    def knowing(self, names: dict[Expr, str]) -> Iterator[None]:
        """Values that have a name inside."""
        before = self.stands
        self.stands = {**before, **names}
        yield
        self.stands = before


@dataclass(frozen=True)
class Own:
    """A point of an axis that is a thread's: its name, and whether it exists ("" where always)."""

    axis: Axis
    name: str
    exists: str


def values_nest(nest: AttentionNest, values: Sequence[Expr]) -> Nest:
    """A nest that stores ``values`` at every query and key: nobody runs it, parts are spelled."""
    weights = nest.work.weights
    axes = (*weights.rows, weights.key)
    shape = tuple(axis.extent for axis in axes)
    roots = [
        Root(Buffer("tile", value.dtype, shape), tuple(map(of_axis, axes)), value)
        for value in values
    ]
    return Nest(nest.name, axes, tuple(roots))


def names_of(nest: AttentionNest, reserved: Iterable[str]) -> Names:
    """Names for everything in all parts."""
    work = nest.work
    axes = (*work.weights.rows, work.weights.key)
    columns = tuple(axis for part in work.parts for axis in part.columns)
    inner = tuple(a for core in work.cores for a in core.axes)
    found = Names(
        Nest(nest.name, tuple(dict.fromkeys((*axes, *columns, *inner))), nest.roots), reserved
    )
    return found
