"""The one runner: order, an end, verification on demand, and the border of the graph."""

import time

import numpy as np
import pytest

from ir import make
from ir.errors import VerifyError
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import PIPELINE, run_passes
from ir.types import F32, F64, TensorType

X = make.input_node(TensorType(F32, (2, 3)), "x")
UNUSED = make.input_node(TensorType(F32, (5,)), "unused")


def broken(graph: Graph) -> Graph:
    (node,) = graph.outputs
    wrong = type(node)(node.op, node.inputs, node.attrs, TensorType(F64, node.shape), node.loc)
    return graph if node.dtype == F64 else Graph(graph.inputs, (wrong,))


def test_border_is_kept():
    doubled = make.mul(X, 1.0)
    graph = Graph((UNUSED, X), (doubled, make.neg(X), doubled), ("u", "x"), ("a", "b", "c"))
    after = run_passes(graph)
    assert after.inputs == (UNUSED, X)
    assert after.input_names == ("u", "x")
    assert after.output_names == ("a", "b", "c")
    assert [node.op.name for node in after.outputs] == ["input", "neg", "input"]


def test_passes_feed_one_another():
    """A transpose hides a negation, which hides a constant, which hides a product by one."""
    one = make.neg(make.full(-1.0, F32, (3, 2)))
    turned = make.transpose(make.mul(make.transpose(X, (1, 0)), one), (1, 0))
    seen: list[str] = []
    after = run_passes(Graph((X,), (turned,)), on_pass=lambda name, graph: seen.append(name))
    assert after.outputs == (X,)
    assert set(seen) <= {step.__name__ for step in PIPELINE}


def test_a_settled_graph_is_the_same_object():
    graph = Graph((X,), (make.neg(X),))
    assert run_passes(graph) is graph


def test_debug_verifies_after_each_pass(monkeypatch):
    graph = Graph((X,), (make.neg(X),))
    monkeypatch.setenv("ENGINE_DEBUG", "1")
    with pytest.raises(VerifyError, match=r"^after broken: .*neg\(f32\[2,3\]\): has type f64"):
        run_passes(graph, (broken,))
    monkeypatch.setenv("ENGINE_DEBUG", "0")
    assert run_passes(graph, (broken,)).outputs[0].dtype == F64


def test_an_endless_pass_is_stopped():
    calls = []

    def restless(graph: Graph) -> Graph:
        calls.append(1)
        return Graph(graph.inputs, (make.neg(graph.outputs[0]),))

    run_passes(Graph((X,), (X,)), (restless,))
    assert len(calls) < 10


def test_large_graphs_take_milliseconds():
    node = X
    for step in range(200):
        node = make.add(
            make.mul(node, 1.0 + step), make.transpose(make.transpose(X, (1, 0)), (1, 0))
        )
    graph = Graph((X,), (node,))
    begin = time.perf_counter()
    after = run_passes(graph)
    assert time.perf_counter() - begin < 2.0
    array = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(interpret(after, [array]), interpret(graph, [array]))
