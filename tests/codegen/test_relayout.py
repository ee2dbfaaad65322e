"""Products in, the copies that they read out; and what copies turn in registers, by element."""

import numpy as np
import pytest

from codegen import vector
from codegen.compile import dim_slots, plan_kernels
from codegen.lanes import step_along
from codegen.nest import Load, Reduce, walk
from codegen.traffic import _traffic, loop_order
from ir import make
from ir.grad import gradient
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import F32, F64, I32, I64, TensorType


def product(m, k, n, turned=True):
    """``x @ w.T`` or ``x @ w``."""
    x = make.input_node(TensorType(F32, (m, k)), "x")
    w = make.input_node(TensorType(F32, (n, k) if turned else (k, n)), "w")
    return Graph((x, w), (make.dot(x, w, ((1,), (1 if turned else 0,))),))


def transposed(shape, perm, dtype=F32):
    x = make.input_node(TensorType(dtype, shape), "x")
    return Graph((x,), (make.transpose(x, perm),))


def test_what_the_lanes_read_lies_side_by_side():
    _, plans = plan_kernels(product(128, 512, 256), {}, (0,))
    (plan,) = [p for p in plans if p.nest.contracts]
    loads = [e for e in walk([r.value for r in plan.nest.roots]) if isinstance(e, Load)]
    assert plan.vector is not None
    assert {step_along(load, plan.vector) for load in loads} <= {0, 1}
    assert any(p.nest.is_copy for p in plans)


def test_an_operand_used_rarely_is_not_copied():
    _, plans = plan_kernels(product(4, 512, 256), {}, (0,))
    assert not any(p.nest.is_copy for p in plans)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("sizes", [(128, 40, 48), (33, 17, 65), (1, 70, 30), (70, 30, 1)])
def test_products(assert_compiled, sizes, turned):
    graph = product(*sizes, turned)
    rng = np.random.default_rng(0)
    assert_compiled(graph, [rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs])


@pytest.mark.parametrize("dtype", [F32, F64, I32, I64], ids=str)
@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((16, 16), (1, 0)),
        ((17, 33), (1, 0)),
        ((100, 7), (1, 0)),
        ((3, 48, 20), (0, 2, 1)),
        ((5, 18, 3, 40), (3, 1, 2, 0)),
        ((1, 31), (1, 0)),
    ],
)
def test_transposes(assert_compiled, shape, perm, dtype):
    x = np.arange(np.prod(shape)).reshape(shape).astype(str(dtype))
    assert_compiled(transposed(shape, perm, dtype), [x], exact=True)


def test_a_transpose_is_turned_in_registers():
    graph = transposed((64, 64), (1, 0))
    _, plans = plan_kernels(graph, {}, ())
    assert [plan.turned is not None for plan in plans] == [True]
    assert "shufflevector" in vector.Module(plans, dim_slots(graph)).text()


@pytest.mark.parametrize("sizes", [(512, 784, 1024), (64, 4096, 64), (2000, 40, 30)])
def test_the_order_of_loops_moves_no_more_than_the_given_one(sizes):
    kernels, _ = plan_kernels(product(*sizes), {}, ())
    (nest,) = [n for n in kernels.nests if n.contracts]
    core = next(e for e in walk([r.value for r in nest.roots]) if isinstance(e, Reduce))
    tile = dict.fromkeys(nest.axes, 4)
    found = loop_order(core, nest.axes, tile, None)
    assert sorted(map(str, found)) == sorted(map(str, nest.axes))
    loads = [e for e in walk([core.body]) if isinstance(e, Load)]
    assert _traffic(loads, found, tile) <= _traffic(loads, nest.axes, tile)


def test_a_product_with_a_transpose_reads_a_copy():
    """Both operands lie along the sum; the result's rows are where the lanes should run."""
    q, k = (make.input_node(TensorType(F32, (8, 64, 32)), name) for name in "qk")
    graph = Graph((q, k), (make.dot(q, k, ((2,), (2,)), ((0,), (0,))),))
    _, plans = plan_kernels(graph, {}, ())
    assert [plan.nest.is_copy for plan in plans] == [True, False]
    assert not plans[1].reduces_lanes


@pytest.mark.parametrize("rows", [32, 50])
def test_two_batches_are_multiplied_in_vectors(assert_compiled, rows):
    """Scores of every row of one batch with every row of another: both lie in blocks."""
    graph = product(rows, 40, rows)
    _, plans = plan_kernels(graph, {}, (0, 1))
    text = vector.Module([p for p in plans if p.nest.contracts], dim_slots(graph)).text()
    assert "extractelement <16 x i64>" not in text, "lane by lane"
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs]
    assert_compiled(graph, arrays, batch_inputs=(0, 1))


def test_epilogues_ask_for_what_is_far(assert_compiled):
    """What a product is multiplied with is prefetched, row by row of the register tile."""
    a, b = (make.input_node(TensorType(F32, (128, 128)), name) for name in "ab")
    far, near = make.input_node(a.type, "far"), make.input_node(TensorType(F32, (128,)), "near")
    y = make.mul(make.dot(a, b, ((1,), (0,))), far)
    graph = Graph((a, b, far, near), (make.add(y, make.broadcast(near, y.shape, (1,))),))
    _, plans = plan_kernels(graph, {}, ())
    (plan,) = plans
    text = vector.Module(plans, dim_slots(graph)).text()
    calls = text.count("call void @llvm.prefetch")
    rows = [size for axis, size in plan.tile.items() if axis != plan.vector]
    assert 0 < calls <= 2 * 2 * plan.tile[plan.vector] * max(rows)
    rng = np.random.default_rng(0)
    assert_compiled(graph, [rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs])


def padded(shape, low, high, value=0.0, dtype=F32):
    """An array in the lanes' order inside a rim, from one in rows."""
    x = make.input_node(TensorType(dtype, shape), "x")
    rim = make.pad(x, low, high, value=value)
    return Graph((x,), (make.sum(make.mul(rim, rim), (1, 2)), make.mul(rim, rim)))


RIMS = [
    ((16, 3, 32), (0, 1, 1), (0, 1, 1)),
    ((16, 3, 16), (0, 0, 2), (0, 0, 0)),
    ((21, 2, 33), (0, 2, 3), (0, 1, 14)),
    ((40, 5, 20), (0, 0, 17), (0, 0, 17)),
    ((16, 4, 30), (1, 0, 1), (2, 0, 1)),
]


@pytest.mark.parametrize("dtype", [F32, F64, I32], ids=str)
@pytest.mark.parametrize(("shape", "low", "high"), RIMS)
def test_rims(assert_compiled, shape, low, high, dtype):
    graph = padded(shape, low, high, 3, dtype)
    x = np.random.default_rng(0).integers(1, 9, shape).astype(str(dtype))
    assert_compiled(graph, [x], batch_inputs=(0,), exact=True)


def test_a_rim_is_turned_in_registers():
    """What is read in rows and stored in lanes takes whole vectors, masked where the rim is."""
    x = make.input_node(TensorType(F32, (32, 8, 30)), "x")
    rim = make.pad(x, (0, 0, 1), (0, 0, 1))
    w = make.input_node(TensorType(F32, (8, 8, 3)), "w")
    seen = make.window(rim, (2,), (3,), (1,), (1,))
    graph = Graph((x, w), (make.sum(make.dot(seen, w, ((1, 3), (1, 2))), (0,)),))
    _, plans = plan_kernels(graph, {}, (0,))
    plan = next(p for p in plans if "copy" in p.nest.name)
    assert plan.turned is not None
    text = vector.Module([plan], dim_slots(graph)).text()
    assert "llvm.masked.load.v16f32" in text
    assert " load float, " not in text, "lane by lane"


def input_gradient(networks, batch, **options):
    """The gradient of a convolution in its input, an output of the graph."""
    inputs = [
        make.input_node(TensorType(F32, shape), name)
        for name, shape in (
            ("x", (batch, 8, 20, 18)),
            ("w", (8, 8 // options.get("groups", 1), 3, 3)),
        )
    ]
    out = networks.convolution(*inputs, **options)
    loss = make.sum(make.mul(out, out), (0, 1, 2, 3))
    return run_passes(Graph(tuple(inputs), tuple(gradient(loss, inputs[:1]))))


@pytest.mark.parametrize("batch", [16, 21, 32])
@pytest.mark.parametrize(
    "options",
    [{"padding": 1}, {"padding": 2, "dilation": 2}, {"padding": 1, "groups": 8}, {"stride": 2}],
    ids=str,
)
def test_results_in_rows_go_through_the_lanes(networks, assert_compiled, batch, options):
    graph = input_gradient(networks, batch, **options)
    kernels, plans = plan_kernels(graph, {}, (0,))
    last = plans[-1]
    assert last.nest.is_copy
    assert last.turned is not None
    assert last.nest.roots[0].buffer is kernels.outputs[0]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs]
    assert_compiled(graph, arrays, batch_inputs=(0,), ulps=512)


def test_small_results_are_stored_where_they_belong():
    x, w = (make.input_node(TensorType(F32, s), n) for n, s in (("x", (64, 32)), ("w", (32, 20))))
    _, plans = plan_kernels(Graph((x, w), (make.dot(x, w, ((1,), (0,))),)), {}, (0,))
    assert plans[-1].nest.contracts


@pytest.mark.parametrize(("batch", "shared"), [(16, False), (32, True), (10, False)])
def test_one_block_of_rows_is_shared_by_tiles(networks, assert_compiled, batch, shared):
    """One thread would compute all of it; two blocks are for two threads, with no barrier."""
    graph = input_gradient(networks, batch, padding=1)
    _, plans = plan_kernels(graph, {}, (0,))
    much = [p for p in plans if p.vector == p.nest.batch and p.nest.contracts]
    assert {p.by_batch for p in much if not p.nest.strips} == {shared}
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs]
    assert_compiled(graph, arrays, batch_inputs=(0,), ulps=512)
