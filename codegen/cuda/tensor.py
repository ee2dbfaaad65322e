"""A contraction's nest in, the same tiles, multiplied by tensor cores, out.

A warp multiplies 16 x 8 by 8 x 8 elements (tf32) or 16 x 16 by 16 x 8 (bf16, f16) in one
instruction, and each of its lanes holds some elements of both factors and of the sums, as NVIDIA's
PTX manual lays them out (``mma.m16n8k8``, ``mma.m16n8k16``). The factors are rounded to 10, 7 or 10
bits of mantissa, two halves in a word; the sums are float32. All else is ``tiles.py``'s.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product as combinations

from codegen.cuda.product import Product
from codegen.cuda.tile import Tile
from codegen.cuda.tiles import TilesBody
from codegen.nest import Nest
from codegen.portable.names import Names
from codegen.portable.spell import literal

DOWN, OVER = 16, 8  # results of one instruction
DEEP = {"tf32": 8, "bf16": 16, "f16": 16}  # and how many products of each it adds up
LANES = 32

# ``down`` and ``over`` are one thread's share, by which blocks are as large as others are
TENSOR_TILES = (
    Tile(128, 64, 16, 8, 4, 8),
    Tile(64, 64, 16, 4, 4, 8),
    Tile(64, 32, 16, 4, 4, 8),
    Tile(32, 32, 16, 4, 4, 8),
    Tile(16, 32, 16, 4, 4, 8),
)


def tiles_of(kind: str) -> tuple[Tile, ...]:
    """The tiles for factors of ``kind``: lanes that read at the same time read different banks."""
    if kind == "tf32":
        return TENSOR_TILES
    return tuple(replace(tile, skew=4) for tile in TENSOR_TILES)


class TensorBody(TilesBody):
    """A block for every tile, a warp for every part of it."""

    def __init__(
        self, nest: Nest, names: Names, product: Product, tile: Tile, kind: str = "tf32"
    ) -> None:
        super().__init__(nest, names, product, tile)
        self.kind = kind
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
        with self.block(f"for {k} in range(0, {self.tile.depth}, {DEEP[self.kind]}):"):
            for i, names in enumerate(self.lefts):
                for at, name in enumerate(names):
                    row = f"{self.warp_row} + {self.group} + {DOWN * i + 8 * (at % 2)}"
                    self.add(f"{name} = {self._factor(f'{tiles}[{now} + ', at // 2, left, row)}")
            second = f"{tiles}[{now} + {self.tile.depth * left} + "
            for j, names in enumerate(self.rights):
                column = f"{self.warp_column} + {self.group} + {OVER * j}"
                for at, name in enumerate(names):
                    self.add(f"{name} = {self._factor(second, at, right, column)}")
            for (i, j), held in self.held.items():
                a, b = ", ".join(self.lefts[i]), ", ".join(self.rights[j])
                sums = ", ".join(held)
                self.add(f"{sums} = multiply_{self.kind}(({a}), ({b}), ({sums}))")

    def _factor(self, start: str, half: int, row: int, point: str) -> str:
        """A lane's word of a factor, in the first or the second half of the instruction's sum."""
        k = self.word["k"]
        if self.kind == "tf32":
            return f"tf32({start}({k} + {self.member} + {4 * half}) * {row} + {point}])"
        places = [f"({k} + {self.member} * 2 + {8 * half + at}) * {row}" for at in range(2)]
        return f"pack_{self.kind}({', '.join(f'{start}{place} + {point}]' for place in places)})"

    def _lay_sums(self) -> None:
        tiles = self.word["tiles"]
        for (i, j), held in self.held.items():
            for at, name in enumerate(held):
                row = f"{self.warp_row} + {self.group} + {DOWN * i + 8 * (at // 2)}"
                column = f"{self.warp_column} + {self.member} * 2 + {OVER * j + at % 2}"
                self.add(f"{tiles}[({row}) * {self.tile.columns} + {column}] = {name}")
