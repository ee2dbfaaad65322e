"""Nests with long reductions in, the two stages that do the same out."""

import pytest

from codegen.cuda import stages
from codegen.cuda.product import product_of, steps
from codegen.cuda.stages import in_stages
from codegen.nest import Guard, Load, Reduce, walk
from codegen.nests import build_nests
from ir import make
from ir.graph import Graph
from ir.types import F32, I64, TensorType


def nest_of(build, *shapes):
    nodes = [make.input_node(TensorType(F32, s), n) for s, n in zip(shapes, "xyz", strict=False)]
    (nest,) = build_nests(Graph(tuple(nodes), (build(*nodes),)), {}, (), True, False).nests
    return nest


def reduces(nest):
    return [e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]


def test_a_short_sum_stays():
    nest = nest_of(lambda x: make.sum(x, (1,)), (64, 512))
    assert in_stages(nest) == [nest]


def test_a_sum_over_many_points_stays():
    nest = nest_of(lambda x: make.sum(x, (1,)), (4096, 4096))
    assert in_stages(nest) == [nest]


def test_a_long_sum_goes_in_equal_parts():
    nest = nest_of(lambda x: make.neg(make.sum(x, (0, 2))), (64, 6, 784))
    first, second = in_stages(nest)
    (parts,) = {root.buffer for root in first.roots}
    count = parts.shape[0]
    (one,), (other,) = reduces(first), reduces(second)
    assert count > 64
    assert steps(one.axes) * count == 64 * 784
    assert not any(isinstance(e, Guard) for e in walk([one.body]))
    assert steps(other.axes) == count
    assert {load.buffer for load in second.loads} == {parts}
    assert [root.buffer for root in second.roots] == [root.buffer for root in nest.roots]


def test_sizes_that_nothing_divides_leave_a_shorter_part():
    nest = nest_of(lambda x: make.max(x, (1,)), (5, 10007))
    first, _ = in_stages(nest)
    (one,) = reduces(first)
    count = first.roots[0].buffer.shape[0]
    assert 10007 <= steps(one.axes) * count < 10007 + steps(one.axes)
    assert isinstance(one.body, Guard)


def test_a_weight_gradient_is_a_product_in_both_forms():
    nest = nest_of(lambda x, y: make.dot(x, y, ((0,), (0,))), (6400, 16), (6400, 150))
    first, second = in_stages(nest)
    product = product_of(first)
    assert product is not None
    assert [axis.name for axis in product.batch] == ["part"]
    assert product_of(second) is None


def test_parts_do_not_depend_on_anything_but_sizes(monkeypatch):
    nest = nest_of(lambda x: make.sum(x, (1,)), (5, 1 << 15))
    shapes = {in_stages(nest)[0].roots[0].buffer.shape for _ in range(2)}
    assert len(shapes) == 1
    monkeypatch.setattr(stages, "BLOCKS", 4)
    assert in_stages(nest)[0].roots[0].buffer.shape not in shapes


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_positions_stay(kind):
    """The first of equals would need its part's number."""
    nest = nest_of(
        lambda x: make.apply(kind, x, axes=(1,), dtype=I64),
        (5, 1 << 15),
    )
    assert in_stages(nest) == [nest]


def test_the_first_stage_reads_what_the_whole_did():
    nest = nest_of(lambda x: make.sum(make.exp(x), (1,)), (5, 1 << 15))
    first, _ = in_stages(nest)
    read = {e.buffer for e in walk([r.value for r in first.roots]) if isinstance(e, Load)}
    assert read == {load.buffer for load in nest.loads}
