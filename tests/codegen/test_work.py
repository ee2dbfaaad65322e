"""Kernels in, operations and bytes out: held to counts by hand."""

import numpy as np
import pytest

from codegen.compile import plan_kernels
from codegen.index import ZERO, Axis, Dynamic, Index, add, of_axis, scale
from codegen.nest import Apply, Buffer, Condition, Const, Guard, Load, Nest, Reduce, Root
from codegen.work import Work, work_of
from ir import make
from ir.dims import symbol
from ir.graph import Graph, Node
from ir.ops import OPS
from ir.types import BF16, F32, F64, I64, TensorType

N = symbol("N")


def node(*shape, name="x", dtype=F32) -> Node:
    return make.input_node(TensorType(dtype, shape), name)


def works(graph: Graph, **env: int) -> list[Work]:
    _, plans = plan_kernels(graph, {}, ())
    return [work_of(plan.nest, env) for plan in plans]


def total(graph: Graph, **env: int) -> int:
    return sum(work.flops for work in works(graph, **env))


def matmul(m, k, n, dtype=F32) -> Graph:
    x, y = node(m, k, dtype=dtype), node(k, n, name="y", dtype=dtype)
    return Graph((x, y), (make.dot(x, y, ((1,), (0,))),))


@pytest.mark.parametrize(("m", "k", "n"), [(7, 5, 3), (64, 784, 10), (100, 33, 17)])
def test_matmul(m, k, n):
    found = works(matmul(m, k, n))
    assert sum(work.flops for work in found) == 2 * m * n * k
    product = max(found, key=lambda work: work.flops)
    assert product.bytes == product.footprint == 4 * (m * k + k * n + m * n)
    assert product.doubles == 0


def test_sizes_may_be_symbols():
    assert total(matmul(N, 5, 3), N=7) == 2 * 7 * 5 * 3


def test_doubles_are_told_apart():
    assert sum(work.doubles for work in works(matmul(7, 5, 3, F64))) == 2 * 7 * 5 * 3


def test_chain_counts_each_op_once_and_no_padding():
    x, a = node(9, 21), node(9, 21, name="a")
    (work,) = works(Graph((x, a), (make.exp(make.add(make.mul(x, a), 1.0)),)))
    points = 9 * 21
    assert work.flops == 3 * points
    assert work.bytes == 3 * 4 * points
    assert work.price == (2 + OPS["exp"].cost) * points


def test_halves_move_half_the_bytes():
    x = node(64, dtype=BF16)
    (work,) = works(Graph((x,), (make.mul(x, 2.0),)))
    assert (work.flops, work.bytes) == (64, 2 * 2 * 64)


def test_row_read_for_every_point_comes_in_once():
    x, bias = node(9, 21), node(21, name="bias")
    (work,) = works(Graph((x, bias), (make.add(x, make.broadcast(bias, (9, 21), (1,))),)))
    assert work.bytes == 4 * (9 * 21 + 21 + 9 * 21)


def test_integers_are_no_flops():
    x = node(30, dtype=I64)
    (work,) = works(Graph((x,), (make.add(x, 1),)))
    assert (work.flops, work.price) == (0, 30)


def test_convolution():
    """Eight images of 3 channels, 6 filters of 5x5: 12x12 windows."""
    x, w = node(8, 3, 16, 16), node(6, 3, 5, 5, name="w")
    seen = make.window(x, (2, 3), (5, 5), (1, 1), (1, 1))
    out = make.dot(seen, w, ((1, 4, 5), (1, 2, 3)))
    assert total(Graph((x, w), (out,))) == 2 * 8 * 6 * 12 * 12 * 3 * 5 * 5


def test_gathered_rows_are_what_is_read():
    table, index = node(1000, 16, name="table"), node(20, name="index", dtype=I64)
    (work,) = works(Graph((table, index), (make.take(table, index, 0),)))
    assert work.bytes == 20 * 16 * 4 + 20 * 8 + 20 * 16 * 4
    assert work.flops == 0


def test_scattered_rows_are_added_once_each():
    rows, index = node(20, 16, name="rows"), node(20, name="index", dtype=I64)
    found = works(Graph((rows, index), (make.put_add(rows, index, 0, 1000),)))
    assert sum(work.flops for work in found) == 20 * 16


def test_part_of_a_buffer_is_written():
    whole, i = Buffer("whole", F32, (10, 10)), Axis("i", 10)
    roots = tuple(
        Root(whole, (of_axis(i), Index((), at)), Const(0.0, F32), phase=at) for at in (0, 1)
    )
    work = work_of(Nest("k", (i,), roots), {})
    assert work.bytes == work.footprint == 2 * 10 * 4


def test_phases_that_fill_a_buffer_count_it_once():
    """Two phases, each over all of it: no more than the buffer goes out, and it is read once."""
    whole, x, i = Buffer("whole", F32, (10,)), Buffer("x", F32, (10,)), Axis("i", 10)
    twice = Apply("mul", (Load(x, (of_axis(i),)), Const(2.0, F32)), F32)
    other = Apply("mul", (Load(x, (of_axis(i),)), Const(3.0, F32)), F32)
    roots = tuple(
        Root(whole, (of_axis(i),), value, phase=at) for at, value in enumerate((twice, other))
    )
    work = work_of(Nest("k", (i,), roots), {})
    assert work.bytes == work.footprint == 2 * 10 * 4
    assert work.flops == 2 * 10


def test_roots_along_a_row_count_like_others():
    """A softmax: the largest, the difference, exp, the sum, the quotient; each once a place."""
    rows, row = 12, 40
    x = node(rows, row)
    largest = make.broadcast(make.max(x, (1,)), (rows, row), (0,))
    power = make.exp(make.sub(x, largest))
    out = make.div(power, make.broadcast(make.sum(power, (1,)), (rows, row), (0,)))
    graph = Graph((x,), (out,))
    _, plans = plan_kernels(graph, {}, ())
    (along,) = [root for plan in plans for root in plan.nest.roots if root.within]
    assert [axis.extent for axis in along.within] == [row]
    (work,) = works(graph)
    assert work.flops == 5 * rows * row
    assert work.bytes == work.footprint == 2 * 4 * rows * row


def test_update_in_place_reads_and_writes_one_buffer():
    x, i = Buffer("x", F32, (10,)), Axis("i", 10)
    value = Apply("mul", (Load(x, (of_axis(i),)), Const(2.0, F32)), F32)
    work = work_of(Nest("k", (i,), (Root(x, (of_axis(i),), value),)), {})
    assert (work.bytes, work.footprint) == (80, 40)


# -- guards: counted by trying ------------------------------------------------------------------

X, OUT = Buffer("x", F32, (5, 5)), Buffer("out", F32, (5, 5))
ROW, J, P, Q = Axis("i", 5), Axis("j", 5), Axis("p", 3), Axis("q", 3)


def padded(divisor: int = 1, fill: float = 0.0) -> Nest:
    """A 3x3 window of twice x, padded by one."""
    rows, columns = (add(of_axis(a), of_axis(b), -1) for a, b in ((ROW, P), (J, Q)))
    inside = (Condition(rows, 5, divisor), Condition(columns, 5, divisor))
    twice = Apply("mul", (Load(X, (rows, columns)), Const(2.0, F32)), F32)
    value = Reduce("sum", (P, Q), Guard(inside, twice, Const(fill, F32)), F32)
    return Nest("k", (ROW, J), (Root(OUT, (of_axis(ROW), of_axis(J)), value),))


@pytest.mark.parametrize("divisor", [1, 2])
def test_guarded_points(divisor):
    at = np.add.outer(np.arange(5), np.arange(3)) - 1
    points = int(((at >= 0) & (at < 5) & (at % divisor == 0)).sum()) ** 2
    work = work_of(padded(divisor), {})
    assert work.flops == 2 * points
    assert work.bytes == (min(points, 25) + 25) * 4


def test_fill_that_counts_is_added_everywhere():
    assert work_of(padded(fill=1.0), {}).flops == (13 * 13) + (15 * 15)


def test_guard_on_axes_that_the_value_does_not_know():
    """exp(x[i]) is computed where some j allows it: for i of 3, 4 here."""
    x, out = Buffer("x", F32, (5,)), Buffer("out", F32, (5, 5))
    where = Condition(add(of_axis(ROW), of_axis(J), -7), 5)
    value = Guard((where,), Apply("exp", (Load(x, (of_axis(ROW),)),), F32), Const(0.0, F32))
    nest = Nest("k", (ROW, J), (Root(out, (of_axis(ROW), of_axis(J)), value),))
    assert work_of(nest, {}).flops == 2


def test_value_with_and_without_a_guard_is_computed_everywhere():
    x, out = Buffer("x", F32, (5,)), Buffer("out", F32, (5,))
    value = Apply("exp", (Load(x, (of_axis(ROW),)),), F32)
    guarded = Guard((Condition(of_axis(ROW), 2),), value, Const(0.0, F32))
    both = Apply("add", (guarded, value), F32)
    assert work_of(Nest("k", (ROW,), (Root(out, (of_axis(ROW),), both),)), {}).flops == 5 + 5


def test_guard_on_a_computed_place_counts_as_none():
    x, place = Buffer("x", F32, (5,)), Buffer("place", I64, (5,))
    index = Index(((Dynamic(Load(place, (of_axis(ROW),)), frozenset({ROW}), 5), 1),))
    value = Apply("exp", (Load(x, (index,)),), F32)
    guarded = Guard((Condition(index, 2),), value, Const(0.0, F32))
    assert work_of(Nest("k", (ROW,), (Root(OUT, (of_axis(ROW), ZERO), guarded),)), {}).flops == 5


def test_strided_places():
    x, out = Buffer("x", F32, (10,)), Buffer("out", F32, (5,))
    nest = Nest("k", (ROW,), (Root(out, (of_axis(ROW),), Load(x, (scale(of_axis(ROW), 2),))),))
    assert work_of(nest, {}).bytes == 2 * 5 * 4
