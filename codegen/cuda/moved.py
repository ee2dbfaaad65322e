"""A step's graph in, the bytes that its CUDA kernels move out, beside the fewest they could.

The fewest: of the kernels as they were planned, before any is cut for a GPU, each reads every
element that it needs once and writes every result once. Beyond that there are the parts of
reductions in stages (to memory and back), and what blocks read that others have read before: it
comes from the second cache as long as it fits in there, a few tens of megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from codegen.counted import counted_order
from codegen.cuda.attention import product_of_scores
from codegen.cuda.attention_body import Attention
from codegen.cuda.plan import plan_cuda
from codegen.cuda.rows import MOST_KEPT, Group
from codegen.cuda.ways import Tiles, way_of
from codegen.index import Axis
from codegen.nest import Expr, Load, Nest, Reduce, free_axes, walk
from codegen.nests import build_nests
from codegen.work import work_of
from ir.dims import evaluate
from ir.graph import Graph


@dataclass(frozen=True)
class Moved:
    """Bytes of one step, every kernel counted once (also one that a loop repeats)."""

    least: int
    memory: int  # as least, of the kernels that run
    asked: int  # by all blocks, each once for what it needs
    kernels: int


def moved_bytes(graph: Graph, donated: Mapping[int, int], env: Mapping[str, int]) -> Moved:
    """What the kernels of an already simplified graph move, for the symbols' values in ``env``."""
    whole = build_nests(counted_order(graph), donated, (), rows=True, orders=False).nests
    nests = plan_cuda(graph, donated).nests
    least = sum(work_of(nest, env).bytes for nest in whole)
    memory = sum(work_of(nest, env).bytes for nest in nests)
    again = sum(_read_again(nest, env) for nest in nests)
    return Moved(least, memory, memory + again, len(nests))


def _read_again(nest: Nest, env: Mapping[str, int]) -> int:
    """Bytes that a block reads though another one has, or it itself."""
    way = way_of(nest)
    if isinstance(way, Tiles):
        product, tile = way.product, way.tile
        down = -(-_count(product.rows, env) // tile.rows)
        over = -(-_count(product.columns, env) // tile.columns)
        left, right = (_distinct(f.value, env) for f in (product.left, product.right))
        return left * (over - 1) + right * (down - 1)
    if isinstance(way, Group):
        return _passes_again(nest, way, env)
    if isinstance(way, Attention):
        return _walked_again(way, env)
    return 0


def _walked_again(way: Attention, env: Mapping[str, int]) -> int:
    """What every block of an attention's rows reads of the axis that it walks along."""
    work = way.nest.work
    blocks = -(-_count((work.blocked,), env) // way.blocks.rows)
    products = [product_of_scores(core, work.weights, work.blocked) for core in work.cores]
    walked = [*(product.right.value for product in products), *(part.other for part in work.parts)]
    return (blocks - 1) * sum(_distinct(value, env) for value in walked)


def _passes_again(nest: Nest, group: Group, env: Mapping[str, int]) -> int:
    """What rows that registers do not hold are read for, after the first reduction."""
    values: list[list[Expr]] = [
        [e.body] for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)
    ]
    values += [[root.value for root in nest.roots if root.within]]
    rows = [e.axes for e in walk([r.value for r in nest.roots]) if isinstance(e, Reduce)]
    rows += [root.within for root in nest.roots if root.within]
    if max((_count(axes, env) for axes in rows), default=0) <= group.size * MOST_KEPT:
        return 0
    loads = [{id(e): e for e in walk(found) if isinstance(e, Load)} for found in values]
    once = {key: load for found in loads for key, load in found.items()}
    total = sum(_distinct(e, env) for found in loads for e in found.values())
    return total - sum(_distinct(e, env) for e in once.values())


def _distinct(expr: Expr, env: Mapping[str, int]) -> int:
    """Bytes of the elements that the loads of an expression reach."""
    memo: dict[int, frozenset[Axis]] = {}
    total = 0
    for load in (e for e in walk([expr]) if isinstance(e, Load)):
        reached = _count(tuple(free_axes(load, memo)), env)
        size = prod(evaluate(size, env) for size in load.buffer.shape)
        total += min(reached, size) * load.dtype.itemsize
    return total


def _count(axes: tuple[Axis, ...], env: Mapping[str, int]) -> int:
    return prod(evaluate(axis.extent, env) for axis in axes)
