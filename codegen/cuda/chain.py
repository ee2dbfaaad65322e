"""Nests in launch order in, attentions among them out.

Scores are a product, then a softmax of their rows, then a product with the values. Where nobody
else reads the scores or their softmax, or only the gradients of the same attention do, no score
needs a place in memory (``chain_back.py`` looks for the gradients, ``joined.py`` puts the kernels
in the place of the nests).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from codegen.cuda.attention import Part, Weights, part_over
from codegen.cuda.product import product_of
from codegen.cuda.rewrite import put, renamed, renamed_root, replaced
from codegen.cuda.web import Web, plain_axes
from codegen.index import Axis
from codegen.nest import Apply, Buffer, Const, Expr, Load, Nest, Position, Reduce, free_axes, walk
from ir.dims import Size


@dataclass(frozen=True, eq=False)
class Chain:
    """One attention: nest ``at`` multiplies the weights, ``steps`` made them.

    ``buffer`` are the weights in memory, ``chances`` those before dropout, if somebody stored them.
    """

    at: int
    steps: tuple[int, ...]
    weights: Weights
    buffer: Buffer
    chances: Buffer | None
    result: Part


def chain_of(web: Web, at: int) -> Chain | None:
    """The attention that nest ``at`` ends, if it does."""
    last = web.nests[at]
    product = product_of(last)
    if product is None or not isinstance(product.core.body, Apply):
        return None
    for load in (arg for arg in product.core.body.args if isinstance(arg, Load)):
        rows = web.maker(load.buffer)
        if rows is None or len(load.buffer.shape) < 2:
            continue
        axes = axes_for(load.buffer.shape)
        made = _weights(web, rows, load.buffer, axes)
        if made is None:
            continue
        weights, steps, chances = made
        part = part_of(last, load.buffer, weights, weights.weight)
        if part is not None and part.core.axes == (weights.key,):
            return Chain(at, (*steps, rows), weights, load.buffer, chances, part)
    return None


def axes_for(shape: Sequence[Size]) -> tuple[Axis, ...]:
    """An attention's own axes: one for each dimension of its scores."""
    names = [*(f"batch{at}" for at in range(len(shape) - 2)), "query", "key"]
    return tuple(Axis(name, size) for name, size in zip(names, shape, strict=True))


def names_at(index, axes: Sequence[Axis]) -> dict[Axis, Axis] | None:  # type: ignore[no-untyped-def]
    """The attention's axes for those of a nest that reads or writes scores at ``index``."""
    places = plain_axes(index)
    if places is None or len(places) != len(axes):
        return None
    return {old: new for old, new in zip(places, axes, strict=True) if old is not None}


def part_of(nest: Nest, buffer: Buffer, weights: Weights, value: Expr) -> Part | None:
    """The product of ``buffer``'s elements, which are ``value``, that a nest computes."""
    product = product_of(nest)
    loads = [load for load in nest.loads if load.buffer is buffer]
    if product is None or product.pool != 1 or len(loads) != 1:
        return None
    core, (load,) = product.core, loads
    names = names_at(load.index, (*weights.rows, weights.key))
    if names is None or not isinstance(core.body, Apply) or core.body.op != "mul":
        return None
    one, other = core.body.args if core.body.args[0] is load else core.body.args[::-1]
    inner = [axis for axis in core.axes if axis.extent != 1]
    columns = tuple(axis for axis in nest.axes if axis not in names and axis.extent != 1)
    reached = free_axes(other, {})
    if one is not load or len(inner) != 1 or inner[0] not in names:
        return None
    if not all(isinstance(axis.extent, int) for axis in columns) or not columns:
        return None
    blocked = {names.get(axis) for axis in nest.axes} & {weights.query, weights.key}
    summed = names[inner[0]]
    if summed in blocked or len(blocked) != 1 or summed in weights.batch:
        return None
    if any(names.get(axis) in blocked for axis in reached):
        return None
    memo: dict[int, Expr] = {}
    roots = [renamed_root(root, names, memo) for root in nest.roots]
    here = renamed(core, names, memo)
    assert isinstance(here, Reduce)
    made = Reduce("sum", (summed,), here.body, here.dtype)
    roots = [replace(root, value=put(root.value, {here: made})) for root in roots]
    return part_over(made, value, renamed(other, names, memo), roots, columns)


# -- scores and their softmax ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Softmax:
    """The parts of ``exp(score - start) / whole``, the rows of which lie along one axis."""

    chance: Apply
    grown: Apply
    score: Expr
    start: Expr
    whole: Expr
    peak: Reduce
    total: Reduce


def _weights(
    web: Web, at: int, buffer: Buffer, axes: tuple[Axis, ...]
) -> tuple[Weights, tuple[int, ...], Buffer | None] | None:
    """The weights that nest ``at`` makes of scores, which nobody else reads; the nests of these."""
    rows = web.nests[at]
    root = next(root for root in rows.roots if root.buffer is buffer)
    if len(root.within) != 1 or axes[-1].extent == 1 or axes[-2].extent == 1:
        return None
    soft, names = _softmax(root.value, root.within[0]), names_at(root.index, axes)
    if soft is None or names is None or names.get(root.within[0]) != axes[-1]:
        return None
    steps = _scores(web, at, soft.score)
    if steps is None:
        return None
    load, scores = steps[0], _joined([web.nests[step] for step in steps[1]])
    other = None if scores is None else names_at(scores.roots[0].index, axes)
    if load.index != root.index or load.buffer.shape != buffer.shape or other is None:
        return None
    chances = [r.buffer for r in rows.roots if r.value == soft.chance and r.index == root.index]
    if {r.buffer for r in rows.roots} - {buffer, *chances}:
        return None
    memo: dict[int, Expr] = {}
    assert scores is not None
    made = _core(scores, other, axes)
    if made is None:
        return None
    core, value = made
    place = renamed(load, names, memo)
    weight = put(renamed(root.value, names, memo), {place: value})
    full = _softmax(weight, axes[-1])
    assert full is not None
    if factors(weight, full.chance) is None or core.dtype != weight.dtype:
        return None
    return (
        Weights(
            axes[:-2], axes[-2], axes[-1], core, full.score, full.peak, full.start,
            full.grown, full.total, full.whole, full.chance, weight,
        ),
        steps[1],
        chances[0] if chances else None,
    )  # fmt: skip


def _softmax(value: Expr, along: Axis) -> _Softmax | None:
    """The softmax in a value; None where there is none, or more than one."""
    found = {e for e in walk([value]) if isinstance(e, Apply) and e.op == "div"}
    made = [soft for soft in (_split(div, along) for div in found) if soft is not None]
    return made[0] if len(made) == 1 else None


def _split(chance: Apply, along: Axis) -> _Softmax | None:
    grown, whole = chance.args
    if not isinstance(grown, Apply) or grown.op != "exp":
        return None
    (above,) = grown.args
    if not isinstance(above, Apply) or above.op != "sub":
        return None
    score, start = above.args
    peaks = outermost(start)
    totals = outermost(whole) - peaks
    if len(peaks) != 1 or len(totals) != 1:
        return None
    (peak,), (total,) = peaks, totals
    if peak != Reduce("max", (along,), score, score.dtype):
        return None
    if total != Reduce("sum", (along,), grown, grown.dtype) or not _is_start(start, peak):
        return None
    stand = Const(1.0, peak.dtype)
    rest = walk([put(whole, {peak: stand, total: stand})])
    if any(isinstance(e, Load | Reduce | Position) for e in rest):
        return None
    return _Softmax(chance, grown, score, start, whole, peak, total)


def outermost(expr: Expr) -> set[Reduce]:
    """The reductions that are in no other one."""
    found, seen, stack = set[Reduce](), set[int](), [expr]
    while stack:
        part = stack.pop()
        if isinstance(part, Reduce):
            found.add(part)
        elif id(part) not in seen:
            seen.add(id(part))
            stack += part.args
    return found


def _is_start(start: Expr, peak: Reduce) -> bool:
    """Whether it is the maximum, or zero where that is minus infinity."""
    if start == peak:
        return True
    if not isinstance(start, Apply) or start.op != "select":
        return False
    test, none, other = start.args
    blind = isinstance(test, Apply) and test.op == "eq" and set(test.args) == {
        peak,
        Const(float("-inf"), peak.dtype),
    }  # fmt: skip
    return blind and isinstance(none, Const) and none.value == 0 and other == peak


def _scores(web: Web, at: int, score: Expr) -> tuple[Load, tuple[int, ...]] | None:
    """The one load of scores that a product made, and the nests that did: one, or two."""
    found: dict[Load, tuple[int, ...]] = {}
    for load in (e for e in walk([score]) if isinstance(e, Load)):
        made = web.only(load.buffer, at)
        if made is None:
            continue
        if product_of(web.nests[made]) is not None:
            found[load] = (made,)
            continue
        before = {web.only(x.buffer, made) for x in web.nests[made].loads} - {None}
        products = [b for b in before if b is not None and product_of(web.nests[b]) is not None]
        if len(products) == 1:
            found[load] = (products[0], made)
    return next(iter(found.items())) if len(found) == 1 else None


def _joined(steps: Sequence[Nest]) -> Nest | None:
    """One nest for a product and what is done to its results one by one."""
    scores, *between = steps
    for nest in between:
        (root,), (result,) = scores.roots, nest.roots
        loads = [load for load in nest.loads if load.buffer is root.buffer]
        light = not any(isinstance(e, Reduce) for e in walk([result.value]))
        same = {load.index for load in loads} == {root.index} and scores.axes == nest.axes
        if not light or not same:
            return None
        value = replaced(result.value, dict.fromkeys(loads, root.value))
        scores = replace(scores, roots=(replace(result, value=value),))
    return scores


def core_of(nest: Nest, index, axes: tuple[Axis, ...]) -> tuple[Reduce, Expr] | None:  # type: ignore[no-untyped-def]
    """A product over queries and keys, and the value that a nest stores at ``index``."""
    names = names_at(index, axes)
    return None if names is None else _core(nest, names, axes)


def _core(
    nest: Nest, names: dict[Axis, Axis], axes: tuple[Axis, ...]
) -> tuple[Reduce, Expr] | None:
    product = product_of(nest)
    if product is None or product.pool != 1 or set(names) < {a for a in nest.axes if a.extent != 1}:
        return None
    memo: dict[int, Expr] = {}
    value, core = (renamed(e, names, memo) for e in (nest.roots[0].value, product.core))
    assert isinstance(core, Reduce)
    if not isinstance(core.body, Apply) or core.body.op != "mul":
        return None
    if not all(isinstance(axis.extent, int) for axis in core.axes):
        return None
    sides = [free_axes(arg, {}) & {*axes[-2:]} for arg in core.body.args]
    return (core, value) if sides in ([{axes[-2]}, {axes[-1]}], [{axes[-1]}, {axes[-2]}]) else None


def factors(expr: Expr, inside: Expr) -> Counter[tuple[str, Expr]] | None:
    """What ``inside`` is multiplied with on the way to ``expr``; None where anything else is done.

    So it makes no difference whether it is done to one number of a sum or to the sum.
    """
    found: Counter[tuple[str, Expr]] = Counter()
    while expr != inside:
        if not isinstance(expr, Apply) or expr.op not in ("mul", "div", "select"):
            return None
        holds = [any(e == inside for e in walk([arg])) for arg in expr.args]
        if sum(holds) != 1:
            return None
        at = holds.index(True)
        if expr.op == "select":
            test, _, fill = expr.args
            if at != 1 or not isinstance(fill, Const) or fill.value != 0:
                return None
            found["select", test] += 1
        elif expr.op == "div" and at != 0:
            return None
        else:
            found[expr.op, expr.args[1 - at]] += 1
        expr = expr.args[at]
    return found
