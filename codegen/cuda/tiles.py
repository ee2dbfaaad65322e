"""A contraction's nest in, a kernel that computes tiles of it from shared memory out.

A block walks along the sum in steps. Of each step the block's threads load both operands' parts
once, evaluating whatever is fused into them, and lay them into shared memory; there are two of
each, so that one barrier a step is enough, and the next step's loads are under way while this one
is computed. Each thread keeps a small tile of sums in registers. At the end the sums go through
shared memory once more, so that the fused rest of the kernel is computed, loaded and stored by
neighbours in memory, whatever order the product has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as combinations

from codegen.cuda.body import CudaBody, Single
from codegen.cuda.product import Factor, Product
from codegen.cuda.tile import Tile
from codegen.index import Axis
from codegen.lanes import step_along
from codegen.nest import Expr, Load, Nest
from codegen.portable.names import Names
from codegen.portable.reductions import Conditions, Loop, Step
from codegen.portable.spell import literal
from ir.dims import Size
from ir.types import DType

WIDTH = 4  # elements of one wide access


class TilesBody(CudaBody):
    """A block for every tile."""

    def __init__(self, nest: Nest, names: Names, product: Product, tile: Tile) -> None:
        super().__init__(nest, names)
        self.product, self.tile = product, tile
        self.reductions = Pooled(self)
        self.result = ""  # the core's value where it is known
        self.sizes = {
            "rows": self.count(product.rows),
            "columns": self.count(product.columns),
            "depth": self.count(product.inner),
        }
        words = ("tiles", "now", "step", "k", "row", "column", "first_row")
        self.word = {word: names.fresh(word) for word in (*words, "first_column")}
        self.word["thread"] = "thread"  # kept free for it (source.py)
        self.thread_row, self.thread_column = (
            names.fresh("thread_row"),
            names.fresh("thread_column"),
        )
        self.sums = {
            (i, j): names.fresh(f"total_{i}_{j}")
            for i, j in combinations(range(tile.down), range(tile.over))
        }
        self.a = [names.fresh(f"a_{i}") for i in range(tile.down)]
        self.b = [names.fresh(f"b_{j}") for j in range(tile.over)]
        self.loads: dict[str, list[OperandLoad]] = {}

    @property
    def dtype(self) -> DType:
        return self.product.core.dtype

    @property
    def blocks_wanted(self) -> str:
        """How many tiles there are, as an expression of the sizes."""
        return " * ".join([*(self.tiles_of(side) for side in ("rows", "columns")), self._batch])

    @property
    def _batch(self) -> str:
        return f"({self.places.size(self.count(self.product.batch))})"

    @property
    def run(self) -> int:
        """The sum's axis is walked in runs of so many."""
        return self.tile.depth

    def tiles_of(self, side: str) -> str:
        """How many tiles (or steps, along ``depth``) there are, as an expression of the sizes."""
        size, by = self.sizes[side], getattr(self.tile, side)
        if isinstance(size, int):
            return str(-(-size // by))
        return f"(({self.places.size(size)} + {by - 1}) // {by})"

    def recall(self, expr: Expr, under: Conditions) -> str | None:
        if expr is self.product.core and self.result:
            return self.result
        return super().recall(expr, under)

    def _share(self, order: list[Axis]) -> None:
        w, size = self.word, self.tile.elements
        self.add(f"{w['tiles']} = cuda.shared.array({size}, np.{self.dtype}, alignment=16)")
        self.add(f"{w['thread']} = cuda.threadIdx.x")
        self._find_tile()
        self._find_operands()
        self._sums()
        self._finish()

    # -- where the block and its threads are ----------------------------------------------------

    def _find_tile(self) -> None:
        """The block's batch element and the first row and column of its tile."""
        w, tile = self.word, self.tile
        place, many = "cuda.blockIdx.x", [self.tiles_of("columns"), self.tiles_of("rows")]
        for name, count, size in zip(
            (w["first_column"], w["first_row"]), many, (tile.columns, tile.rows), strict=True
        ):
            if count == "1":
                self.add(f"{name} = 0")
                continue
            self.add(f"{name} = {self.divided('remainder', place, count)} * {size}")
            rest = self.names.fresh("rest")
            self.add(f"{rest} = {self.divided('quotient', place, count)}")
            place = rest
        self.take_apart(place, self.product.batch)

    def _find_operands(self) -> None:
        """Which elements of the operands' tiles this thread loads: fixed along the sum."""
        tile, product = self.tile, self.product
        self.loads = {
            "left": self._spread("left", product.left, product.rows, tile.rows, "first_row"),
            "right": self._spread(
                "right", product.right, product.columns, tile.columns, "first_column"
            ),
        }

    def _spread(
        self, side: str, factor: Factor, axes: Sequence[Axis], size: int, first: str
    ) -> list[OperandLoad]:
        """One entry for each element that a thread loads in a step."""
        tile, thread = self.tile, self.word["thread"]
        fast, slow = (tile.depth, size) if factor.along_sum else (size, tile.depth)
        threads = tile.threads
        found: list[OperandLoad] = []
        point, k = self.names.fresh(f"{side}_point"), self.names.fresh(f"{side}_k")
        near, far = (k, point) if factor.along_sum else (point, k)
        if threads >= fast:
            self.add(f"{near} = remainder({thread}, {fast})")
            self.add(f"{far} = quotient({thread}, {fast})")
        else:
            self.add(f"{near} = {thread}")
            self.add(f"{far} = 0")
        only = f"{thread} < {fast * slow}" if fast * slow < threads else ""
        for at in range(max(1, fast * slow // threads)):
            name, e = self.names.fresh(f"{side}_{at}"), at * threads
            steps = {near: e % fast if threads < fast else 0, far: e // fast}
            mine_k = f"{k} + {steps[k]}" if steps[k] else k
            mine = f"{point} + {steps[point]}" if steps[point] else point
            old = [o for o in found if o.place == mine]
            if old:
                found.append(OperandLoad(name, mine, mine_k, old[0].axes, old[0].exists, only))
                continue
            where = self.names.fresh("left_row" if side == "left" else "right_column")
            self.add(f"{where} = {self.word[first]} + {mine}")
            total = self.sizes["rows" if side == "left" else "columns"]
            exists = self._exists(where, total, size)
            self.take_apart(where, axes, f"_{at}")
            names = tuple((axis, self.places.axes[axis]) for axis in axes)
            found.append(OperandLoad(name, mine, mine_k, names, exists, only))
        return found

    def _exists(self, name: str, total: Size, step: int) -> str:
        if isinstance(total, int) and total % step == 0:
            return ""
        return f"{name} < {self.places.size(total)}"

    # -- the sum --------------------------------------------------------------------------------

    def _sums(self) -> None:
        tile, w = self.tile, self.word
        self._start_sums()
        left, right = tile.skewed
        half, steps = tile.depth * (left + right), self.tiles_of("depth")
        self._fetch("0")
        with self.block(f"for {w['step']} in range({steps}):"):
            self.add(f"{w['now']} = remainder({w['step']}, 2) * {half}")
            self._lay("left", left, 0)
            self._lay("right", right, tile.depth * left)
            self.add("cuda.syncthreads()")
            if steps != "1":
                with self.block(f"if {w['step']} + 1 < {steps}:"):
                    self._fetch(f"({w['step']} + 1) * {tile.depth}")
            self._multiply_step(left, right)

    def _fetch(self, start: str) -> None:
        """Both operands' elements of the step that begins at ``start``, into registers."""
        for side, factor in (("left", self.product.left), ("right", self.product.right)):
            places: dict[str, tuple[str, list[tuple[Axis, str]]]] = {}
            for load in self.loads[side]:
                if load.k not in places:
                    place = self.names.fresh("place")
                    self.add(f"{place} = {load.k if start == '0' else f'{start} + {load.k}'}")
                    self.take_apart(place, self.product.inner, "_")
                    axes = [(axis, self.places.axes[axis]) for axis in self.product.inner]
                    places[load.k] = (place, axes)
                place, axes = places[load.k]
                self.places.axes.update([*axes, *load.axes])
                with self.scope():
                    self._fetch_one(factor, load, place)

    def _fetch_one(self, factor: Factor, load: OperandLoad, place: str) -> None:
        inside = self._exists(place, self.sizes["depth"], self.run)
        tests = [test for test in (load.only, load.exists, inside) if test]
        tests += [self.places.condition(condition) for condition in factor.conditions]
        if not tests:
            self.add(f"{load.name} = {self.text(factor.value, whole=True)}")
            return
        self.add(f"{load.name} = {literal(0, self.dtype)}")
        with self.block(f"if {' and '.join(f'({test})' for test in tests)}:"):
            self.add(f"{load.name} = {self.text(factor.value, whole=True)}")

    def _lay(self, side: str, row: int, offset: int) -> None:
        """This thread's elements of an operand into shared memory, the sum's axis outermost."""
        tiles, now = self.word["tiles"], self.word["now"]
        start = f"{now} + {offset}" if offset else now
        only = self.loads[side][0].only
        with self.blocks([f"if {only}:"] if only else []):
            for load in self.loads[side]:
                place = f"{start} + ({load.k}) * {row} + {load.place}"
                self.add(f"{tiles}[{place}] = {load.name}")

    def _start_sums(self) -> None:
        """This thread's place in the tile, and its sums before the first product."""
        across = self.tile.columns // self.tile.over
        for name in self.sums.values():
            self.add(f"{name} = {literal(0, self.dtype)}")
        self.add(f"{self.thread_row} = quotient({self.word['thread']}, {across})")
        self.add(f"{self.thread_column} = remainder({self.word['thread']}, {across})")

    def _multiply_step(self, left: int, right: int) -> None:
        """All products of one step for each of this thread's sums."""
        tile, now, k = self.tile, self.word["now"], self.word["k"]
        second = f"{now} + {tile.depth * left} + {k} * {right}"
        with self.block(f"for {k} in range({tile.depth}):"):
            self._read(self.a, f"{now} + {k} * {left}", self.thread_row, tile.rows)
            self._read(self.b, second, self.thread_column, tile.columns)
            for (i, j), total in self.sums.items():
                self.add(f"{total} += {self.a[i]} * {self.b[j]}")

    def _read(self, names: Sequence[str], start: str, thread: str, size: int) -> None:
        """A thread's operands of one product: neighbours, four at a time.

        Eight are two fours half a tile apart: so the lanes of a warp read side by side.
        """
        tiles = self.word["tiles"]
        count = len(names)
        wide = next((wide for wide in (WIDTH, 2) if count % wide == 0), 1)
        for at in range(0, count, wide):
            place = f"{start} + {own_place(thread, at, count, size)}"
            load = f"load{wide}({tiles}, {place})" if wide > 1 else f"{tiles}[{place}]"
            self.add(f"{', '.join(names[at : at + wide])} = {load}")

    # -- the rest of the kernel -----------------------------------------------------------------

    def _finish(self) -> None:
        """The sums into shared memory, then every root at every point of the tile."""
        self.add("cuda.syncthreads()")
        self._store()

    def _store(self) -> None:
        """The same, where nobody reads any more what lies where the sums will."""
        tile, w, pool = self.tile, self.word, self.product.pool
        self._lay_sums()
        self.add("cuda.syncthreads()")
        points, at = tile.rows * tile.columns // pool, self.names.fresh("at")
        rows = tile.rows // pool
        with self.block(f"for {at} in range({w['thread']}, {points}, {tile.threads}):"):
            down = self._rows_side_by_side()
            fast, slow = (w["row"], w["column"]) if down else (w["column"], w["row"])
            size = rows if down else tile.columns
            self.add(f"{fast} = remainder({at}, {size})")
            self.add(f"{slow} = quotient({at}, {size})")
            self._at_point(rows)

    def _lay_sums(self) -> None:
        tile = self.tile
        for (i, j), total in self.sums.items():
            row = own_place(self.thread_row, i, tile.down, tile.rows)
            column = own_place(self.thread_column, j, tile.over, tile.columns)
            self.add(f"{self.word['tiles']}[({row}) * {tile.columns} + {column}] = {total}")

    def _at_point(self, rows: int) -> None:
        product, w, tile = self.product, self.word, self.tile
        outer = [axis for axis in product.rows if axis not in product.window]
        row, column = self.names.fresh("out_row"), self.names.fresh("out_column")
        start = w["first_row"]
        if product.pool > 1:
            start = f"quotient({start}, {product.pool})"
        self.add(f"{row} = {start} + {w['row']}")
        self.add(f"{column} = {w['first_column']} + {w['column']}")
        tests = [
            self._exists(row, self.count(outer), rows),
            self._exists(column, self.sizes["columns"], tile.columns),
        ]
        with self.blocks([f"if {' and '.join(t for t in tests if t)}:"] if any(tests) else []):
            self.take_apart(row, outer)
            self.take_apart(column, product.columns)
            if product.pool == 1:
                self.result = self.named_total(f"{w['row']} * {tile.columns} + {w['column']}")
            self._point()
        self.result = ""

    def named_total(self, place: str) -> str:
        """A name for the sum at ``place`` of the tile."""
        name = self.names.fresh("total")
        self.add(f"{name} = {self.word['tiles']}[{place}]")
        return name

    def _rows_side_by_side(self) -> bool:
        """Whether results of neighbouring rows are neighbours in memory."""
        outer = [axis for axis in self.product.rows if axis not in self.product.window]
        votes = 0
        for root in self.nest.roots:
            place = Load(root.buffer, root.index)
            votes += any(step_along(place, axis) == 1 for axis in outer)
            votes -= any(step_along(place, axis) == 1 for axis in self.product.columns)
        return votes > 0


@dataclass(frozen=True)
class OperandLoad:
    """An element that a thread loads in every step."""

    name: str
    place: str  # in the tile: its row (of the left operand) or column
    k: str  # and along the sum
    axes: tuple[tuple[Axis, str], ...]
    exists: str  # whether its row or column does; "" where it always does
    only: str  # which threads load one, where not all do


def own_place(thread: str, at: int, count: int, size: int) -> str:
    """The row (or column) of the tile, of ``size``, that is a thread's number ``at``."""
    if count % WIDTH:
        return f"{thread} * {count} + {at}"
    apart = at // WIDTH * (size // (count // WIDTH)) + at % WIDTH
    return f"{thread} * {WIDTH} + {apart}"


class Pooled(Single):
    """A window over the product's results, which lie one below the other in shared memory."""

    body: TilesBody

    def _open(self, loops: Sequence[Loop], conditions: Conditions, step: Step) -> None:
        body, product = self.body, self.body.product
        w, tile = body.word, body.tile
        sizes = [range(int(axis.extent)) for axis in product.window]  # type: ignore[arg-type]
        for number, places in enumerate(combinations(*sizes)):
            body.places.axes.update(
                (axis, str(at)) for axis, at in zip(product.window, places, strict=True)
            )
            with body.scope():
                place = f"({w['row']} * {product.pool} + {number}) * {tile.columns} + {w['column']}"
                before, body.result = body.result, body.named_total(place)
                self._innermost(conditions, step)
                body.result = before
