"""The sizes of a product in, the tile that a block computes out.

A block computes ``rows x columns`` results in steps of ``depth`` products; each of its threads
keeps ``down x over`` of them in registers. Large tiles read each operand less often, small ones
give more blocks; the choice weighs both by sizes alone, for as many multiprocessors as large
devices have today, so that it does not depend on the device.
"""

from __future__ import annotations

from dataclasses import dataclass

PROCESSORS = 132
ADDERS = 128  # multiplications with additions of one in a cycle
LATENCY = 100  # cycles of one step that nothing else fills
SHARED = 48 * 1024  # bytes that a block may have without asking for more
FEWEST = 4  # rows and columns below which a thread for every point does better
SMALLEST = 8  # products of a sum below which the same holds


@dataclass(frozen=True)
class Tile:
    """What one block computes, and what each of its threads."""

    rows: int
    columns: int
    depth: int
    down: int
    over: int
    skew: int = 4

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows * self.columns // (self.down * self.over)

    @property
    def elements(self) -> int:
        """Elements in shared memory: two steps of both operands, later the results."""
        return max(2 * self.depth * sum(self.skewed), self.rows * self.columns)

    @property
    def skewed(self) -> tuple[int, int]:
        """Row lengths of the operands' tiles in shared memory: no two lanes in one bank."""
        return self.rows + self.skew, self.columns + self.skew


TILES = (
    Tile(128, 64, 8, 8, 4),
    Tile(64, 128, 8, 4, 8),
    Tile(64, 64, 16, 4, 4),
    Tile(64, 64, 8, 4, 4),
    Tile(64, 32, 16, 4, 4),
    Tile(32, 64, 16, 4, 4),
    Tile(64, 32, 16, 4, 2),
    Tile(32, 64, 16, 2, 4),
    Tile(32, 32, 16, 2, 2),
    Tile(128, 16, 16, 4, 2),
    Tile(16, 128, 16, 2, 4),
    Tile(128, 8, 16, 4, 2),
    Tile(8, 128, 16, 2, 4),
    Tile(256, 8, 8, 4, 2),
    Tile(8, 256, 8, 2, 4),
    Tile(16, 32, 16, 2, 2),
    Tile(32, 16, 16, 2, 2),
)
# for blocks whose threads a simulator must keep
TINY = (Tile(4, 4, 4, 2, 2), Tile(8, 4, 2, 4, 2), Tile(16, 8, 4, 8, 4), Tile(2, 16, 2, 2, 4))


def choose_tile(
    batch: int,
    rows: int,
    columns: int,
    depth: int,
    pool: int = 1,
    itemsize: int = 4,
    threads: int = 256,
    among: tuple[Tile, ...] | None = None,
) -> Tile | None:
    """The tile that should take the least time; None where the product is too small for one.

    ``pool``: the rows of a window, which stay in one tile; ``threads``: the most of a block.
    """
    if min(rows, columns) < FEWEST or depth < SMALLEST:
        return None
    known = [tile for tile in among or TILES if tile.threads <= threads] or TINY
    fitting = [t for t in known if t.rows % pool == 0 and t.elements * itemsize <= SHARED]
    return min(fitting, key=lambda tile: _time(tile, batch, rows, columns, depth))


def _time(tile: Tile, batch: int, rows: int, columns: int, depth: int) -> float:
    """Cycles of a multiprocessor, fitted to 464 products on an H100 (``docs/cuda.md``).

    A block alone waits for its own loads, step after step, and has half of the adders at work; as
    soon as there are several for each multiprocessor, what counts is all that they do.
    """
    blocks = batch * -(-rows // tile.rows) * -(-columns // tile.columns)
    results = tile.rows * tile.columns
    turns = -(-depth // tile.depth)
    steps = turns * tile.depth
    shared = 2 * steps * results * (1 / tile.down + 1 / tile.over) / 2
    memory = 6 * steps * (tile.rows + tile.columns)  # addresses, loads and stores of operands
    each = (steps * results + shared + memory + 12 * results) / ADDERS
    alone = LATENCY * turns + 2 * each
    return max(alone, each * blocks / PROCESSORS)
