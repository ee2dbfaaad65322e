"""A product within an attention in, its statements out: one operand lies in shared memory.

The left operand's elements (``panel``) are there before the product, the sum's axis outermost;
those of the right one pass through, a step at a time, as in any product of tiles (``tiles.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.cuda.blocks import Room, whole
from codegen.cuda.product import Product, steps
from codegen.cuda.tile import Tile
from codegen.cuda.tiles import OperandLoad, TilesBody, own_place
from codegen.index import Axis
from codegen.nest import Nest
from codegen.portable.names import Names


@dataclass(frozen=True)
class Walk:
    """Along which part of its axis a sum runs: ``span`` elements from ``origin`` on."""

    origin: str  # "" for all of a sum
    span: int


class PanelBody(TilesBody):
    """A product of a block's own rows."""

    def __init__(
        self, nest: Nest, names: Names, product: Product, tile: Tile, panel: int, room: Room
    ) -> None:
        super().__init__(nest, names, product, tile)
        self.panel, self.room = panel, room
        self.walk: Walk | None = None
        self.norms = -1  # where results find what they are divided by, if they are
        self.word["first_column"] = "0"

    @property
    def stride(self) -> int:
        """From one element of the sum to the next one's in the panel."""
        return self.tile.rows + self.tile.skew

    @property
    def turns(self) -> int:
        """Steps of one walk."""
        size = self.walk.span if self.walk else steps(self.product.inner)
        return -(-size // self.tile.depth)

    def load_panel(self) -> None:
        """The left operand of all the sum, zeros where there is none."""
        w, tile, product = self.word, self.tile, self.product
        depth = whole(steps(product.inner), tile.depth)
        at, row, k = (self.names.fresh(word) for word in ("at", "panel_row", "panel_k"))
        with self.block(f"for {at} in range({w['thread']}, {depth * tile.rows}, {tile.threads}):"):
            along = product.left.along_sum
            fast, slow, size = (k, row, depth) if along else (row, k, tile.rows)
            self.add(f"{fast} = remainder({at}, {size})")
            self.add(f"{slow} = quotient({at}, {size})")
            place = self.names.fresh("left_row")
            self.add(f"{place} = {w['first_row']} + {row}")
            exists = self._exists(place, self.sizes["rows"], tile.rows)
            self.take_apart(place, product.rows)
            self.take_apart(k, product.inner)
            element = OperandLoad(self.names.fresh("element"), row, k, (), exists, "")
            self._fetch_one(product.left, element, k)
            self.add(f"{w['tiles']}[{self.panel} + {k} * {self.stride} + {row}] = {element.name}")

    def _find_operands(self) -> None:
        """Which elements of the right operand this thread loads."""
        right, size = self.product.right, self.tile.columns
        self.loads = {
            "right": self._spread("right", right, self.product.columns, size, "first_column")
        }

    def multiply(self) -> None:
        """All products of one walk, added to this thread's sums: an even number of steps, or a
        barrier must follow."""
        tile, w = self.tile, self.word
        row = tile.columns + tile.skew
        self._fetch("0")
        with self.block(f"for {w['step']} in range({self.turns}):"):
            half = f"remainder({w['step']}, 2) * {self.room.step}"
            self.add(f"{w['now']} = {self.room.staging} + {half}")
            self._lay("right", row, 0)
            self.add("cuda.syncthreads()")
            if self.turns > 1:
                with self.block(f"if {w['step']} + 1 < {self.turns}:"):
                    self._fetch(f"({w['step']} + 1) * {tile.depth}")
            self._multiply_step(self.stride, row)

    def _fetch(self, start: str) -> None:
        """The right operand's elements of the step that begins at ``start``."""
        places: dict[str, tuple[str, list[tuple[Axis, str]]]] = {}
        origin = [self.walk.origin] if self.walk else []
        for load in self.loads["right"]:
            if load.k not in places:
                place = self.names.fresh("place")
                parts = [*origin, *([] if start == "0" else [start]), load.k]
                self.add(f"{place} = {' + '.join(parts)}")
                self.take_apart(place, self.product.inner, "_")
                axes = [(axis, self.places.axes[axis]) for axis in self.product.inner]
                places[load.k] = (place, axes)
            place, axes = places[load.k]
            self.places.axes.update([*axes, *load.axes])
            with self.scope():
                self._fetch_one(self.product.right, load, place)

    @property
    def run(self) -> int:
        """A sum's axis is walked in runs of so many."""
        return self.walk.span if self.walk else self.tile.depth

    def _multiply_step(self, left: int, right: int) -> None:
        tile, w = self.tile, self.word
        first = f"{self.panel} + ({w['step']} * {tile.depth} + {w['k']}) * {left}"
        with self.block(f"for {w['k']} in range({tile.depth}):"):
            self._read(self.a, first, self.thread_row, tile.rows)
            second = f"{w['now']} + {w['k']} * {right}"
            self._read(self.b, second, self.thread_column, tile.columns)
            for (i, j), total in self.sums.items():
                self.add(f"{total} += {self.a[i]} * {self.b[j]}")

    def named_total(self, place: str) -> str:
        """A sum, divided by what its row is to be divided by."""
        name = super().named_total(place)
        if self.norms >= 0:
            norm = f"{self.word['tiles']}[{self.norms} + {self.word['row']}]"
            self.add(f"{name} = {name} / {norm}")
        return name

    def scale(self, by: str) -> None:
        """All sums times a number of their rows, which lie in shared memory from ``by`` on."""
        for i in range(self.tile.down):
            name = self.names.fresh("scale")
            row = own_place(self.thread_row, i, self.tile.down, self.tile.rows)
            self.add(f"{name} = {self.word['tiles']}[{by} + {row}]")
            for j in range(self.tile.over):
                self.add(f"{self.sums[i, j]} *= {name}")
