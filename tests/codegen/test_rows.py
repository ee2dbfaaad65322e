"""Chains of reductions over rows in, one kernel out; shared expressions are visited once."""

from math import prod

import numpy as np
import pytest

from codegen import vector
from codegen.compile import dim_slots, plan_kernels
from codegen.nest import LANES
from ir import make
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import BOOL, F32, F64, I32, I64, TensorType


def softmax(x):
    top = make.broadcast(make.max(x, (1,)), x.shape, (0,))
    up = make.exp(make.sub(x, top))
    return make.div(up, make.broadcast(make.sum(up, (1,)), x.shape, (0,)))


def layer_norm(x):
    size = 1.0 / x.shape[1]
    centred = make.sub(x, make.broadcast(make.mul(make.sum(x, (1,)), size), x.shape, (0,)))
    square = make.mul(make.sum(make.mul(centred, centred), (1,)), size)
    root = make.apply("sqrt", make.add(square, 1e-5))
    return make.div(centred, make.broadcast(root, x.shape, (0,)))


def doubled(x, times=48):
    """Every step reads the one before it twice: 2 ** times paths through few expressions."""
    for _ in range(times):
        x = make.mul(make.add(x, make.apply("tanh", x)), 0.5)
    return x


def graph_of(make_it, shape):
    x = make.input_node(TensorType(F32, shape), "x")
    return Graph((x,), (make_it(x),))


SHAPES = [(8, 5), (64, 33), (17, 1000), (40, 16), (9, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make_it", [softmax, layer_norm])
def test_values(assert_compiled, make_it, shape):
    graph = graph_of(make_it, shape)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    assert_compiled(graph, [3 * x])
    assert_compiled(graph, [3 * x], batch_inputs=(0,))


@pytest.mark.parametrize("make_it", [softmax, layer_norm])
def test_one_kernel(make_it):
    kernels, _ = plan_kernels(run_passes(graph_of(make_it, (64, 33))), {}, ())
    assert len(kernels.nests) == 1


def test_few_rows_do_not_share():
    """A kernel over two rows would leave threads without work."""
    kernels, _ = plan_kernels(run_passes(graph_of(softmax, (2, 5000))), {}, ())
    assert len(kernels.nests) > 1


def test_norms_in_a_row_compile():
    """A norm of a norm of a norm, all over the same rows: parts are shared many times over."""
    graph = graph_of(lambda x: softmax(layer_norm(doubled(layer_norm(softmax(x)), 6))), (16, 8))
    kernels, _ = plan_kernels(run_passes(graph), {}, ())
    assert kernels.nests


def test_shared_expressions_are_visited_once(assert_compiled):
    """Where each path were walked, this would not end."""
    graph = graph_of(lambda x: softmax(doubled(x)), (16, 8))
    x = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    assert_compiled(graph, [x], ulps=4096)


def test_an_exponential_is_computed_once_for_both_passes():
    """One pass sums exponentials, the next divides them; they are kept in between."""
    graph = run_passes(graph_of(softmax, (64, 48)))
    _, plans = plan_kernels(graph, {}, ())
    text = vector.Module(plans, dim_slots(graph)).text()
    assert "alloca" in text
    leading = "0x3F2A0D2CE0000000"  # the first coefficient of exp's polynomial
    (plan,) = plans
    assert text.count(f"float {leading}") == LANES * prod(plan.tile.values())


def test_long_rows_are_not_kept(assert_compiled):
    graph = run_passes(graph_of(softmax, (16, 9000)))
    _, plans = plan_kernels(graph, {}, ())
    assert "alloca" not in vector.Module(plans, dim_slots(graph)).text()
    x = np.random.default_rng(0).standard_normal((16, 9000)).astype(np.float32)
    assert_compiled(graph, [x])


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_in_any_lane_is_the_extremum(assert_compiled, name):
    x = make.input_node(TensorType(F32, (40, 40)), "x")
    graph = Graph((x,), (make.apply(name, x, axes=(1,)),))
    values = np.random.default_rng(0).standard_normal((40, 40)).astype(np.float32)
    values[np.arange(38), np.arange(38)] = np.nan
    values[38], values[39] = np.inf, -np.inf
    assert_compiled(graph, [values], exact=True)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", [F32, F64, I32, I64, BOOL], ids=str)
@pytest.mark.parametrize("columns", [48, 37])
def test_the_first_of_equals_is_found_among_lanes(assert_compiled, name, dtype, columns):
    x = make.input_node(TensorType(dtype, (44, columns)), "x")
    graph = Graph((x,), (make.apply(name, x, axes=(1,), dtype=I64),))
    _, (plan,) = plan_kernels(graph, {}, ())
    assert plan.reduces_lanes
    values = np.random.default_rng(0).integers(-4, 5, (44, columns)).astype(str(dtype))
    if dtype.kind == "f":
        values[np.arange(20), np.arange(20)] = np.nan
        values[np.arange(20), np.arange(20) + 3] = np.nan
        values[40], values[41] = np.inf, -np.inf
    if dtype.kind == "i":
        values[40], values[41] = np.iinfo(str(dtype)).max, np.iinfo(str(dtype)).min
    assert_compiled(graph, [values], exact=True)


def test_two_sums_of_one_array_share_a_kernel(assert_compiled):
    """Neither depends on the other: a bias' gradient and that of the weight beside it."""
    g, y = (make.input_node(TensorType(F32, (64, 128)), name) for name in "gy")
    graph = Graph((g, y), (make.sum(g, (0,)), make.sum(make.mul(g, y), (0,))))
    kernels, plans = plan_kernels(graph, {}, ())
    assert len(kernels.nests) == 1
    assert plans[0].tile[plans[0].vector] > 1  # whole cache lines of each row
    rng = np.random.default_rng(0)
    assert_compiled(graph, [rng.standard_normal((64, 128)).astype(np.float32) for _ in "gy"])


def entropy(rows, classes):
    """Scores and labels; the mean loss over labels that are not negative, and its gradient."""
    x = make.input_node(TensorType(F32, (rows, classes)), "x")
    y = make.input_node(TensorType(I64, (rows,)), "y")
    nothing = make.broadcast(make.constant(0.0, F32), x.shape, ())
    counted = make.sum(
        make.cast(make.apply("ge", y, make.broadcast(make.constant(0, I64), y.shape, ())), F32),
        (0,),
    )
    hit = make.eq(make.iota(x.shape, 1, I64), make.broadcast(y, x.shape, (0,)))
    log_p = make.apply("log", softmax(x))
    of_rows = make.neg(make.sum(make.select(hit, log_p, nothing), (1,)))
    loss = make.sum(of_rows, (0,))
    loss = make.div(loss, counted)
    share = make.broadcast(make.neg(make.div(1.0, counted)), x.shape, ())
    wanted = make.select(hit, share, nothing)
    total = make.broadcast(make.sum(wanted, (1,)), x.shape, (0,))
    return Graph((x, y), (loss, make.sub(wanted, make.mul(softmax(x), total))))


def test_cross_entropy_and_its_gradient_go_over_the_scores_once(assert_compiled):
    graph = run_passes(entropy(48, 40))
    kernels, _ = plan_kernels(graph, {}, ())
    large = [b for nest in kernels.nests for b in nest.buffers if len(b.shape) == 2]
    assert set(large) == {kernels.inputs[0], kernels.outputs[1]}
    assert len(large) == 2
    rng = np.random.default_rng(0)
    x = rng.standard_normal((48, 40)).astype(np.float32)
    assert_compiled(graph, [x, rng.integers(-1, 40, 48)])


def test_rows_that_fill_the_cache_go_one_by_one():
    _, plans = plan_kernels(run_passes(graph_of(softmax, (64, 4096))), {}, ())
    assert all(size == 1 for plan in plans for size in plan.tile.values())
