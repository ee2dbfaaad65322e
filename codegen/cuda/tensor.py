"""A contraction's nest in, the same tiles, multiplied by tensor cores, out: for who asks for them.

A warp multiplies 16 x 8 by 8 x 8 elements in one instruction, and each of its lanes holds some
elements of both factors and of the sums, as NVIDIA's PTX manual lays them out (``mma.m16n8k8``).
The factors are rounded to 10 bits of mantissa, the sums are float32. All else is ``tiles.py``'s.
"""

from __future__ import annotations

from itertools import product as combinations

from codegen.cuda.product import Product
from codegen.cuda.tile import Tile
from codegen.cuda.tiles import TilesBody
from codegen.nest import Nest
from codegen.portable.names import Names
from codegen.portable.spell import literal

DOWN, OVER, DEEP = 16, 8, 8  # elements of one instruction
LANES = 32

# ``down`` and ``over`` are one thread's share, by which blocks are as large as others are
TENSOR_TILES = (
    Tile(128, 64, 16, 8, 4, 8),
    Tile(64, 64, 16, 4, 4, 8),
    Tile(64, 32, 16, 4, 4, 8),
    Tile(32, 32, 16, 4, 4, 8),
    Tile(16, 32, 16, 4, 4, 8),
)


class TensorBody(TilesBody):
    """A block for every tile, a warp for every part of it."""

    def __init__(self, nest: Nest, names: Names, product: Product, tile: Tile) -> None:
        super().__init__(nest, names, product, tile)
        warps = tile.threads // LANES
        self.across = max(n for n in (1, 2, 4) if warps % n == 0 and n * n <= max(warps, 1))
        self.part_rows = tile.rows // (warps // self.across)
        self.part_columns = tile.columns // self.across
        self.pieces = list(
            combinations(range(self.part_rows // DOWN), range(self.part_columns // OVER))
        )
        fresh = names.fresh
        self.group, self.member = fresh("group"), fresh("member")
        self.warp_row, self.warp_column = fresh("warp_row"), fresh("warp_column")
        self.held = {
            (i, j): [fresh(f"total_{i}_{j}_{at}") for at in range(4)] for i, j in self.pieces
        }
        self.lefts = [[fresh(f"a_{i}_{at}") for at in range(4)] for i, _ in self._downs()]
        self.rights = [[fresh(f"b_{j}_{at}") for at in range(2)] for _, j in self._overs()]

    def _downs(self) -> list[tuple[int, int]]:
        return [piece for piece in self.pieces if piece[1] == 0]

    def _overs(self) -> list[tuple[int, int]]:
        return [piece for piece in self.pieces if piece[0] == 0]

    def _start_sums(self) -> None:
        thread, lane, warp = "thread", self.names.fresh("lane"), self.names.fresh("warp")
        self.add(f"{lane} = remainder({thread}, {LANES})")
        self.add(f"{warp} = quotient({thread}, {LANES})")
        self.add(f"{self.group} = quotient({lane}, 4)")
        self.add(f"{self.member} = remainder({lane}, 4)")
        self.add(f"{self.warp_row} = quotient({warp}, {self.across}) * {self.part_rows}")
        self.add(f"{self.warp_column} = remainder({warp}, {self.across}) * {self.part_columns}")
        for name in (name for names in self.held.values() for name in names):
            self.add(f"{name} = {literal(0, self.dtype)}")

    def _multiply_step(self, left: int, right: int) -> None:
        tiles, now, k = (self.word[word] for word in ("tiles", "now", "k"))
        with self.block(f"for {k} in range(0, {self.tile.depth}, {DEEP}):"):
            for i, names in enumerate(self.lefts):
                for at, name in enumerate(names):
                    deep, row = 4 * (at // 2), DOWN * i + 8 * (at % 2)
                    place = f"({k} + {self.member} + {deep}) * {left}"
                    place += f" + {self.warp_row} + {self.group} + {row}"
                    self.add(f"{name} = tf32({tiles}[{now} + {place}])")
            second = self.tile.depth * left
            for j, names in enumerate(self.rights):
                for at, name in enumerate(names):
                    place = f"{second} + ({k} + {self.member} + {4 * at}) * {right}"
                    place += f" + {self.warp_column} + {self.group} + {OVER * j}"
                    self.add(f"{name} = tf32({tiles}[{now} + {place}])")
            for (i, j), held in self.held.items():
                a, b = ", ".join(self.lefts[i]), ", ".join(self.rights[j])
                sums = ", ".join(held)
                self.add(f"{sums} = multiply_tf32(({a}), ({b}), ({sums}))")

    def _lay_sums(self) -> None:
        tiles = self.word["tiles"]
        for (i, j), held in self.held.items():
            for at, name in enumerate(held):
                row = f"{self.warp_row} + {self.group} + {DOWN * i + 8 * (at // 2)}"
                column = f"{self.warp_column} + {self.member} * 2 + {OVER * j + at % 2}"
                self.add(f"{tiles}[({row}) * {self.tile.columns} + {column}] = {name}")
