"""An attention among nests in, its gradients among them out.

The weights of a training step are read again by the values' gradient and by that of the scores,
which is ``weight * (slope - level)``: the slope is a product of the results' gradient with the
values, the level a row's sum of slopes times weights. That is the sum of the results times their
gradient, as long as the slope is what the weight was multiplied with: no slope is needed for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from codegen.cuda.attention import Backward, Part, rows_buffer
from codegen.cuda.chain import Chain, core_of, factors, names_at, outermost, part_of
from codegen.cuda.product import product_of
from codegen.cuda.rewrite import put, renamed, renamed_root
from codegen.cuda.web import Web
from codegen.index import Axis, of_axis
from codegen.nest import Apply, Buffer, Expr, Load, Nest, Reduce, Root, free_axes


@dataclass(frozen=True, eq=False)
class Gradients:
    """What computes an attention's gradients: ``members`` are the nests that did.

    ``level`` is the nest of the rows' levels, if they are needed; ``result`` the attention's own
    product, with one more root where its plain results are not stored otherwise.
    """

    members: tuple[int, ...]
    level: Nest | None
    kernels: tuple[tuple[Nest, Backward], ...]
    result: Part
    peak: Load
    total: Load


@dataclass(frozen=True, eq=False)
class _Slopes:
    """The gradient of scores: nests ``slopes`` and ``rows`` made it."""

    members: tuple[int, ...]
    core: Reduce
    value: Expr
    level: Load
    nest: Nest
    result: Part
    buffer: Buffer


def gradients_of(web: Web, chain: Chain) -> Gradients | None:
    """The gradients, where nobody else reads the weights; None where somebody does."""
    weights, last = chain.weights, web.nests[chain.at]
    others = web.readers[chain.buffer] | web.readers.get(chain.chances or chain.buffer, set())
    others = others - {chain.at}
    if {chain.buffer, chain.chances} & web.kept or chain.at not in web.readers[chain.buffer]:
        return None
    peak, total = (rows_buffer(f"{last.name}.{word}", weights) for word in ("peak", "total"))
    chance = put(weights.chance, {weights.peak: peak, weights.total: total})
    weight = put(weights.weight, {weights.chance: chance})
    parts: list[tuple[int, Part, Expr]] = []
    sums = [at for at in others if any(root.within for root in web.nests[at].roots)]
    for at in others.difference(sums):
        part = part_of(web.nests[at], chain.buffer, weights, weight)
        if part is None or part.core.axes != (weights.query,):
            return None
        parts.append((at, part, weight))
    slopes = _slopes(web, chain, sums[0], chance) if len(sums) == 1 else None
    if len(sums) > 1 or (sums and slopes is None):
        return None
    members = [at for at, _, _ in parts]
    if slopes is not None:
        readers = web.readers.get(slopes.buffer, set())
        for at in readers:
            part = part_of(web.nests[at], slopes.buffer, weights, slopes.value)
            if part is None:
                return None
            parts.append((at, part, slopes.value))
        members += [*slopes.members, *readers]
    kernels = [
        made
        for blocked, walked in ((weights.query, weights.key), (weights.key, weights.query))
        if (made := _kernel(web, chain, parts, slopes, (peak, total), blocked, walked)) is not None
    ]
    result = chain.result if slopes is None else slopes.result
    level = None if slopes is None else slopes.nest
    return Gradients(tuple(sorted(members)), level, tuple(kernels), result, peak, total)


def _kernel(
    web: Web, chain: Chain, parts: list[tuple[int, Part, Expr]], slopes: _Slopes | None,
    stats: tuple[Load, ...], blocked: Axis, walked: Axis,
) -> tuple[Nest, Backward] | None:  # fmt: skip
    """The kernel of all gradients of queries, or of keys and values."""
    own = [(at, part, value) for at, part, value in parts if part.core.axes == (walked,)]
    if not own:
        return None
    values = tuple({id(value): value for _, _, value in own}.values())
    if len(values) != len(own):
        return None
    cores: tuple[Reduce, ...] = (chain.weights.core,)
    if slopes is not None and any(value is slopes.value for value in values):
        cores, stats = (*cores, slopes.core), (*stats, slopes.level)
    made = tuple(part for _, part, _ in own)
    does = Backward(chain.weights, cores, blocked, walked, values, made, stats)
    return web.nests[own[-1][0]], does


def _slopes(web: Web, chain: Chain, at: int, chance: Expr) -> _Slopes | None:
    """The scores' gradient that nest ``at`` makes along its rows."""
    rows, weights = web.nests[at], chain.weights
    axes = (*weights.rows, weights.key)
    chances = chain.buffer if chain.chances is None else chain.chances
    if len(rows.roots) != 1 or len(rows.roots[0].within) != 1 or chances not in web.makers:
        return None
    (root,) = rows.roots
    names = names_at(root.index, axes)
    made = {load: web.only(load.buffer, at) for load in rows.loads if load.buffer is not chances}
    found = [
        (load, step)
        for load, step in made.items()
        if step is not None and product_of(web.nests[step]) is not None
    ]
    read = {load for load in rows.loads if load.buffer is chances}
    reduces = outermost(root.value)
    if names is None or len(found) != 1 or len(read) != 1 or len(reduces) != 1:
        return None
    (slope, step), (load,), (level,) = found[0], read, reduces
    body = level.body
    if level.kind != "sum" or level.axes != root.within or root.buffer in web.kept:
        return None
    if not isinstance(body, Apply) or body.op != "mul" or set(body.args) != {slope, load}:
        return None
    if {slope.index, load.index} != {root.index} or names.get(root.within[0]) != weights.key:
        return None
    product = core_of(web.nests[step], web.nests[step].roots[0].index, axes)
    if product is None:
        return None
    core, value = product
    sums = _level(web.nests[chain.at].name, chain, core)
    if sums is None or factors(value, core) != factors(weights.weight, weights.chance):
        return None
    nest, place, result = sums
    memo: dict[int, Expr] = {}
    stands = {renamed(e, names, memo): to for e, to in ((load, chance), (slope, value))}
    stands[renamed(level, names, memo)] = place
    total = put(renamed(root.value, names, memo), stands)
    if outermost(total) - {core, weights.core}:
        return None
    named = replace(nest, name=rows.name, loc=rows.loc, comment=f"levels of {rows.comment}")
    return _Slopes((step, at), core, total, place, named, result, root.buffer)


def _level(name: str, chain: Chain, core: Reduce) -> tuple[Nest, Load, Part] | None:
    """The nest of the rows' levels, their place, and the result that it reads."""
    weights, result = chain.weights, chain.result
    inner = tuple(axis for axis in core.axes if axis.extent != 1)
    if [a.extent for a in inner] != [a.extent for a in result.columns]:
        return None
    one, other = core.body.args
    if weights.query not in free_axes(one, {}):
        one, other = other, one
    names = dict(zip(result.columns, inner, strict=True))
    if renamed(result.other, names, {}) != other:
        return None
    plain = [root for root in result.roots if root.value == result.core]
    if not plain:
        own = (*weights.rows, *result.columns)
        buffer = Buffer(f"{name}.plain", core.dtype, tuple(axis.extent for axis in own))
        plain = [Root(buffer, tuple(of_axis(axis) for axis in own), result.core)]
        result = replace(result, roots=(*result.roots, *plain))
    moved = renamed_root(plain[0], names, {})
    body = Apply("mul", (one, Load(moved.buffer, moved.index)), core.dtype)
    place = rows_buffer(f"{name}.level", weights)
    root = Root(place.buffer, place.index, Reduce("sum", inner, body, core.dtype))
    return Nest("level", weights.rows, (root,)), place, result
