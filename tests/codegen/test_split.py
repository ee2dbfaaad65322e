"""Graphs with long sums in, sums in stages out, of the same value."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.nests import build_nests
from codegen.split import INACCURATE, LONG, split_sums
from ir import make
from ir.graph import Graph
from ir.interpret import interpret
from ir.types import F32, TensorType


def summed(shape, axes):
    x = make.input_node(TensorType(F32, shape), "x")
    return Graph((x,), (make.sum(x, axes),))


def stages(graph):
    return sum(node.op.name == "sum" for node in graph.nodes)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((LONG * 4,), (0,)), ((LONG * 4 + 7,), (0,)), ((2, 300, 301), (1, 2)), ((3, LONG * 2), (1,))],
)
def test_few_results_are_summed_in_stages(shape, axes):
    graph = summed(shape, axes)
    found = split_sums(graph)
    assert stages(found) > 1
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    (wanted,), (total,) = interpret(graph, [x]), interpret(found, [x])
    assert found.outputs[0].type == graph.outputs[0].type
    np.testing.assert_allclose(total, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("shape", "axes"), [((1000,), (0,)), ((64, 4096), (1,)), ((9, 9), (0, 1))])
def test_short_sums_stay(shape, axes):
    assert stages(split_sums(summed(shape, axes))) == 1


def test_very_long_sums_have_stages_whatever_the_number_of_results():
    assert stages(split_sums(summed((INACCURATE * 2, 64), (0,)))) > 1


def test_a_dot_of_whole_arrays_is_a_long_sum():
    x = make.input_node(TensorType(F32, (LONG * 4,)), "x")
    graph = Graph((x,), (make.dot(x, x, ((0,), (0,))),))
    found = split_sums(graph)
    assert len(found.nodes) > len(graph.nodes)
    data = np.random.default_rng(1).standard_normal(LONG * 4)
    np.testing.assert_allclose(interpret(found, [data])[0], interpret(graph, [data])[0], 1e-10)


def test_a_compiled_sum_keeps_its_digits():
    graph = summed((1 << 22,), (0,))
    x = np.full(1 << 22, 0.1, np.float32)
    exact = float(x.astype(np.float64).sum())
    one_for_each_lane = x.reshape(-1, 16).cumsum(0, dtype=np.float32)[-1].sum()
    (found,) = compile_graph(graph).run([x])
    assert abs(float(found) / exact - 1) < 1e-5 < abs(float(one_for_each_lane) / exact - 1) / 10


def test_a_product_over_many_rows_has_parts(assert_compiled):
    x = make.input_node(TensorType(F32, (6, 500, 64)), "x")
    y = make.input_node(TensorType(F32, (6, 500, 70)), "y")
    graph = Graph((x, y), (make.dot(x, y, ((0, 1), (0, 1))),))
    (dot,) = [node for node in split_sums(graph).nodes if node.op.name == "dot"]
    assert dot.shape == (2, 64, 70)
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal(node.shape).astype(np.float32) for node in graph.inputs]
    assert_compiled(graph, arrays)


@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [
        ((16, 64, 64), (16, 64, 64), (0, 1)),  # short
        ((7, 500, 64), (7, 500, 64), (0, 1)),  # in no equal parts
        ((6, 500, 64), (6, 500, 10), (0, 1)),  # narrow
        ((3000, 64), (3000, 64), (0,)),  # rows of a batch, which lie in the lanes
    ],
)
def test_other_products_stay(left, right, axes):
    x, y = (make.input_node(TensorType(F32, shape), "x") for shape in (left, right))
    graph = Graph((x, y), (make.dot(x, y, (axes, axes)),))
    assert len(split_sums(graph).nodes) == len(graph.nodes)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "axis"), [((5, 64), 1), ((1030, 3), 0), ((2, 70, 3), 1)])
def test_running_sums_go_by_pieces(assert_compiled, shape, axis, reverse):
    x = make.input_node(TensorType(F32, shape), "x")
    graph = Graph((x,), (make.cumsum(x, axis, reverse),))
    found = split_sums(graph)
    runs = [node for node in found.nodes if node.op.name == "cumsum"]
    assert max(node.shape[node.attrs["axis"]] for node in runs) < 64
    kernels = build_nests(graph, {}, (), rows=True)
    stored = [n for n in kernels.fusion.member if n.op.name == "add" and n.type.rank > x.type.rank]
    assert stored  # the kernel of the pieces adds what comes before them
    values = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    assert_compiled(graph, [values], exact=True)
