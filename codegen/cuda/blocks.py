"""An attention's sizes in, what one of its blocks takes out: a stated rule.

A block has ``rows`` points of one axis (queries, or keys) and walks along the other one,
``columns`` points at a time. What its own points have to multiply (the left operands of scores and
slopes) lies in shared memory from beginning to end, weights and their gradients lie beside it, and
everything else passes through the rest of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.cuda.attention import AttentionNest, Backward
from codegen.cuda.product import steps
from codegen.cuda.tile import PROCESSORS, SHARED, Tile
from codegen.lanes import length

SKEW = 4  # elements between rows of shared memory: no two lanes in one bank
FEWEST = 8  # rows that are for wide operands only
MOST_SUMS = 32  # of one product in a thread's registers

# what one thread keeps of a product of so many results for each thread
SHARES = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2), 16: (4, 4), 32: (8, 4)}


@dataclass(frozen=True)
class Blocks:
    """``threads`` take ``rows`` points, ``columns`` of the other axis at a time; products go in
    steps of ``depth``, an even number of them in ``columns``."""

    rows: int
    columns: int
    depth: int
    threads: int

    def tile(self, columns: int) -> Tile:
        """The tile of a product with ``columns`` columns."""
        down, over = SHARES[self.rows * columns // self.threads]
        if down > self.rows:
            down, over = self.rows, down * over // self.rows
        return Tile(self.rows, columns, self.depth, down, over, SKEW)

    @property
    def stride(self) -> int:
        """From one element of a sum to the next in shared memory, for all rows."""
        return self.rows + SKEW


BLOCKS = (
    Blocks(64, 32, 16, 256),
    Blocks(32, 32, 16, 128),
    Blocks(32, 32, 8, 256),
    Blocks(16, 32, 16, 128),
    Blocks(16, 32, 8, 128),
    Blocks(8, 32, 8, 64),
)
TINY = (Blocks(2, 8, 4, 4),)  # for blocks whose threads a simulator must keep


@dataclass(frozen=True)
class Room:
    """Where things lie in a block's shared memory, in elements from its beginning."""

    panels: tuple[int, ...]  # left operands of the products of scores
    tiles: tuple[int, ...]  # weights, or gradients
    staging: int
    step: int  # room for one step of a right operand; there is room for two
    results: int  # how many elements of results lie at the beginning, at last
    numbers: int  # one for each row
    total: int


def blocks_of(nest: AttentionNest, threads: int) -> Blocks | None:
    """What a block of at most ``threads`` takes; None where its operands are too wide for any.

    The most rows with which there is a block for every multiprocessor of a large device.
    """
    work = nest.work
    if work.weights.core.dtype.kind != "f":
        return None
    known = [blocks for blocks in BLOCKS if blocks.threads <= threads] or TINY
    fitting = [blocks for blocks in known if _fits(nest, blocks)]
    count = 1
    for axis in work.weights.batch:
        count *= length(axis)
    busy = [b for b in fitting if count * -(-length(work.blocked) // b.rows) >= PROCESSORS]
    tall = [blocks for blocks in fitting if blocks.rows > FEWEST] or fitting
    return next(iter(busy or tall[-1:]), None)


def widths(nest: AttentionNest, blocks: Blocks) -> list[int]:
    """The columns of each part's tile: a power of two that has a result for each thread."""
    found = []
    for part in nest.work.parts:
        width = -(-blocks.threads // blocks.rows)
        while width < steps(part.columns):
            width *= 2
        found.append(width)
    return found


def _fits(nest: AttentionNest, blocks: Blocks) -> bool:
    wide = widths(nest, blocks)
    sums = [blocks.rows * width // blocks.threads for width in wide]
    if max(sums) > MOST_SUMS or (len(sums) > 1 and sum(sums) > 2 * MOST_SUMS):
        return False
    return room_of(nest, blocks).total * nest.work.weights.core.dtype.itemsize <= SHARED


def room_of(nest: AttentionNest, blocks: Blocks) -> Room:
    """The plan of a block's shared memory."""
    work, at = nest.work, 0
    panels, tiles = list[int](), list[int]()
    for core in work.cores:
        panels.append(at)
        at += whole(steps(core.axes), blocks.depth) * blocks.stride
    for _ in range(len(work.values) if isinstance(work, Backward) else 1):
        tiles.append(at)
        at += blocks.columns * blocks.stride
    wide = widths(nest, blocks)
    staging = at
    step = blocks.depth * (max(blocks.columns, *wide) + SKEW)
    at += 2 * step
    results = blocks.rows * max(wide)
    numbers = max(at, results)
    return Room(tuple(panels), tuple(tiles), staging, step, results, numbers, numbers + blocks.rows)


def whole(size: int, by: int) -> int:
    """``size`` made up to a multiple."""
    return -(-size // by) * by
