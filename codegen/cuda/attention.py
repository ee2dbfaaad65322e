"""What an attention computes in, the nests of its kernels out: none of them stores a score.

Scores, weights and the products with them are expressions over axes of the attention's own:
``batch``, ``query`` and ``key``. The forward nest stores, beside its results, each row's largest
score and the sum of its exponentials where a gradient will ask for them; the backward nests say the
weights again by these. Nests say what they compute as any other does, with one expression inside
the other, so that their work can be counted; ``does`` is what a kernel computes one after the other
(``attention_forward.py``, ``attention_backward.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codegen.cuda.product import Product, factor
from codegen.cuda.rewrite import put
from codegen.index import Axis, of_axis
from codegen.nest import Apply, Buffer, Expr, Load, Nest, Reduce, Root, free_axes


@dataclass(frozen=True, eq=False)
class Weights:
    """The rows of scores and what is made of each.

    ``score`` holds the product ``core``; ``grown`` is its exponential above ``start``, ``chance``
    that over ``whole``, and ``weight`` what values are multiplied with (dropout's is another).
    ``start`` and ``whole`` depend on the row by ``peak`` and ``total`` alone.
    """

    batch: tuple[Axis, ...]
    query: Axis
    key: Axis
    core: Reduce
    score: Expr
    peak: Reduce
    start: Expr
    grown: Expr
    total: Reduce
    whole: Expr
    chance: Expr
    weight: Expr

    @property
    def rows(self) -> tuple[Axis, ...]:
        """The axes that number the rows."""
        return (*self.batch, self.query)


@dataclass(frozen=True, eq=False)
class Part:
    """A product with weights (or their gradients): ``core`` sums ``weight * other``."""

    core: Reduce
    other: Expr
    columns: tuple[Axis, ...]
    roots: tuple[Root, ...]  # values hold ``core``


@dataclass(frozen=True, eq=False)
class Forward:
    """Results of an attention, and where its rows' maxima and sums go."""

    weights: Weights
    result: Part
    stored: tuple[Root, ...]  # none, or the rows' maxima and sums

    @property
    def cores(self) -> tuple[Reduce, ...]:
        return (self.weights.core,)

    @property
    def blocked(self) -> Axis:
        """The axis of which a block has some points; it walks along the other one."""
        return self.weights.query

    @property
    def walked(self) -> Axis:
        return self.weights.key

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.result,)


@dataclass(frozen=True, eq=False)
class Backward:
    """Gradients of an attention: each of ``parts`` sums one of ``values`` times something.

    ``values`` are weights or their gradients, made of the products ``cores``; ``stats`` are the
    rows' numbers that they load.
    """

    weights: Weights
    cores: tuple[Reduce, ...]
    blocked: Axis
    walked: Axis
    values: tuple[Expr, ...]
    parts: tuple[Part, ...]
    stats: tuple[Load, ...]


@dataclass(frozen=True, eq=False)
class AttentionNest(Nest):
    """A kernel of an attention."""

    does: Forward | Backward | None = None

    @property
    def work(self) -> Forward | Backward:
        """What it computes."""
        assert self.does is not None
        return self.does


def forward_nest(last: Nest, does: Forward) -> AttentionNest:
    """The nest of the forward kernel, which stands for ``last``."""
    roots = [replace(root, within=does.result.columns) for root in does.result.roots]
    return _nest(last, f"attention; {last.comment}", does, (*does.stored, *roots))


def backward_nest(last: Nest, does: Backward) -> AttentionNest:
    """The nest of a backward kernel."""
    roots = [replace(root, within=part.columns) for part in does.parts for root in part.roots]
    return _nest(last, f"attention's gradient; {last.comment}", does, roots)


def _nest(
    last: Nest, comment: str, does: Forward | Backward, roots: Sequence[Root]
) -> AttentionNest:
    axes = (*does.weights.batch, does.blocked)
    return AttentionNest(last.name, axes, tuple(roots), None, last.loc, comment, does=does)


def rows_buffer(name: str, weights: Weights) -> Load:
    """A new buffer with a number for each row, at the row's place."""
    shape = tuple(axis.extent for axis in weights.rows)
    buffer = Buffer(name, weights.core.dtype, shape)
    return Load(buffer, tuple(of_axis(axis) for axis in weights.rows))


def stored_rows(weights: Weights, peak: Load, total: Load) -> tuple[Root, ...]:
    """The rows' maxima and sums, where a gradient finds them."""
    return (
        Root(peak.buffer, peak.index, weights.peak),
        Root(total.buffer, total.index, weights.total),
    )


def product_of_scores(core: Reduce, weights: Weights, blocked: Axis) -> Product:
    """The product ``core`` with the points of ``blocked`` as its rows."""
    one, other = core.body.args
    memo: dict[int, frozenset[Axis]] = {}
    if blocked not in free_axes(one, memo):
        one, other = other, one
    walked = weights.key if blocked == weights.query else weights.query
    inner = tuple(axis for axis in core.axes if axis.extent != 1)
    left, right = factor(one, (), (blocked,), inner), factor(other, (), (walked,), inner)
    return Product(core, left, right, weights.batch, (blocked,), (walked,), inner, ())


def product_of_part(part: Part, weights: Weights, blocked: Axis, walked: Axis) -> Product:
    """The product with weights, whose left factor a kernel finds in its shared memory."""
    left = factor(part.core.body, (), (blocked,), (walked,))
    right = factor(part.other, (), part.columns, (walked,))
    batch = weights.batch
    return Product(part.core, left, right, batch, (blocked,), part.columns, (walked,), ())


def part_over(
    core: Reduce, value: Expr, other: Expr, roots: Sequence[Root], columns: tuple[Axis, ...]
) -> Part:
    """The part that sums ``value * other`` where its roots hold ``core``."""
    made = Reduce("sum", core.axes, Apply("mul", (value, other), core.dtype), core.dtype)
    stored = tuple(replace(root, value=put(root.value, {core: made})) for root in roots)
    return Part(made, other, columns, stored)
