"""Nests in launch order in, those of an attention joined to one out.

Scores are a product, then a softmax of their rows, then a product with the values. Where nobody
else reads the scores or their softmax (training does: it saves them), the three are one kernel, and
neither ever leaves a block. The joined nest says what it computes as any other does, with one
expression inside the other; ``parts`` are what the kernel computes one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codegen.cuda.product import Product, product_of
from codegen.cuda.stages import replaced, substituted
from codegen.index import Axis, Index, of_axis
from codegen.nest import Buffer, Expr, Load, Nest, Reduce, walk

MOST_SCORES = 640  # of a row: those of 16 rows lie in a block's shared memory


@dataclass(frozen=True, eq=False)
class Chain(Nest):
    """An attention: ``parts`` are its scores, their rows' softmax, and the product with values."""

    parts: tuple[Nest, ...] = ()


def joined_chains(
    nests: Sequence[Nest], kept: frozenset[Buffer], fits: Callable[[Chain], bool]
) -> list[Nest | None]:
    """The nests, each attention that ``fits`` at the place of its last, and None for its others.

    ``kept`` are buffers that are read from outside.
    """
    found: list[Nest | None] = list(nests)
    readers: dict[Buffer, list[int]] = {}
    makers: dict[Buffer, list[int]] = {}
    for at, nest in enumerate(nests):
        for load in nest.loads:
            readers.setdefault(load.buffer, []).append(at)
        for root in nest.roots:
            makers.setdefault(root.buffer, []).append(at)

    def only(buffer: Buffer, reader: int) -> int | None:
        """The nest that alone makes what ``reader`` alone reads."""
        alone = set(readers[buffer]) == {reader} and buffer not in kept
        made = makers.get(buffer, [])
        return made[0] if alone and len(made) == 1 and len(nests[made[0]].roots) == 1 else None

    for at, last in enumerate(nests):
        steps = _steps(nests, at, only)
        chain = _chain([nests[step] for step in steps], last) if steps else None
        if chain is not None and fits(chain) and _undisturbed(nests, steps):
            found[at] = chain
            for step in steps[:-1]:
                found[step] = None
    return found


def _steps(nests: Sequence[Nest], at: int, only) -> list[int]:  # type: ignore[no-untyped-def]
    """Scores, what is done to them one by one, their rows, and the nest ``at``; or nothing."""
    if product_of(nests[at]) is None:
        return []
    for load in nests[at].loads:
        rows = only(load.buffer, at)
        if rows is None or not nests[rows].roots[0].within:
            continue
        inputs = [only(x.buffer, rows) for x in nests[rows].loads]
        steps = [step for step in dict.fromkeys(inputs) if step is not None]
        if len(steps) != 1:
            continue
        (scores,) = steps
        if product_of(nests[scores]) is not None:
            return [scores, rows, at]
        before = [only(x.buffer, scores) for x in nests[scores].loads]
        products = [b for b in before if b is not None and product_of(nests[b]) is not None]
        if len(products) == 1:
            return [products[0], scores, rows, at]
    return []


def _chain(steps: Sequence[Nest], last: Nest) -> Chain | None:
    scores, *between, rows, _ = steps
    for nest in between:  # at the same points, one by one
        joined = _after(scores, nest)
        if joined is None:
            return None
        scores = joined
    (score,), (weight,) = scores.roots, rows.roots
    if not _fits(score.buffer, weight.buffer, rows, last):
        return None
    inner = _inlined(rows.roots[0].value, score.buffer, score.index, score.value)
    roots = tuple(
        replace(root, value=_inlined(root.value, weight.buffer, weight.index, inner))
        for root in last.roots
    )
    parts = (scores, rows, last)
    return Chain(
        last.name, last.axes, roots, None, last.loc, f"attention; {last.comment}", parts=parts
    )


def _after(first: Nest, second: Nest) -> Nest | None:
    """One nest for two, the second of which reads the first's result at its own point."""
    (root,), (result,) = first.roots, second.roots
    loads = [load for load in second.loads if load.buffer is root.buffer]
    light = not any(isinstance(e, Reduce) for e in walk([result.value]))
    if not light or {load.index for load in loads} != {root.index} or first.axes != second.axes:
        return None
    value = replaced(result.value, dict.fromkeys(loads, root.value))
    return replace(first, roots=(replace(result, value=value),))


def _fits(scores: Buffer, weights: Buffer, rows: Nest, last: Nest) -> bool:
    """Whether a row's scores and weights lie along the last dimension, and are not too many."""
    (root,) = rows.roots
    width = scores.shape[-1]
    if not isinstance(width, int) or width > MOST_SCORES or scores.shape != weights.shape:
        return False
    reduces = [e for e in walk([root.value]) if isinstance(e, Reduce)]
    if not any(reduce.kind == "max" for reduce in reduces):
        return False  # a norm between two layers: they have work for more blocks apart
    if len(root.within) != 1 or len(scores.shape) < 2 or scores.dtype != weights.dtype:
        return False
    own = root.index
    same = all(load.index[:-1] == own[:-1] for load in rows.loads if load.buffer is scores)
    read = [load for load in last.loads if load.buffer is weights]
    return same and own[-1] == of_axis(root.within[0]) and len(read) == 1


def _inlined(expr: Expr, buffer: Buffer, index: Sequence[Index], value: Expr) -> Expr:
    """``expr`` with the value of each element of ``buffer`` in the place of its load."""
    stands: dict[Expr, Expr] = {}
    for load in (e for e in walk([expr]) if isinstance(e, Load) and e.buffer is buffer):
        places: dict[Axis, Index] = {}
        for part, at in zip(index, load.index, strict=True):
            for atom, _ in part.terms:
                if isinstance(atom, Axis):
                    places[atom] = at
        stands[load] = substituted(value, places, {})
    return replaced(expr, stands)


def _undisturbed(nests: Sequence[Nest], steps: Sequence[int]) -> bool:
    """Whether nothing that a step reads is written between it and the last one."""
    for step in steps[:-1]:
        read = {load.buffer for load in nests[step].loads}
        between = (at for at in range(step + 1, steps[-1]) if at not in steps)
        if any(root.buffer in read for at in between for root in nests[at].roots):
            return False
    return True


def turned(product: Product, row: Axis) -> Product | None:
    """The product with ``row`` as its only row, where it is one or the only column."""
    if product.pool != 1:
        return None
    if product.columns == (row,):
        product = replace(
            product,
            left=product.right,
            right=product.left,
            rows=product.columns,
            columns=product.rows,
        )
    return product if product.rows == (row,) else None
