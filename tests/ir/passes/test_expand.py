"""Composites in, the ops that they stand for out; their derivatives are taken before."""

import numpy as np
import pytest

from ir import make
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.ops import OPS
from ir.passes import expand, run_passes
from ir.types import F32, TensorType

X = make.input_node(TensorType(F32, (4, 6)), "x")
COMPOSITES = [op for op in OPS.values() if op.expand is not None]


def composite(op, x=X, axes=(1,)):
    return make.apply(op.name, x, **{**op.cases[0].attrs, "axes": axes})


def names(graph):
    return {node.op.name for node in graph.nodes}


@pytest.mark.parametrize("op", COMPOSITES, ids=str)
def test_the_ops_say_what_the_row_means(op):
    before = Graph((X,), (composite(op),))
    after = expand(before)
    assert op.name in names(before)
    assert op.name not in names(after)
    x = np.random.default_rng(0).uniform(-3, 3, (4, 6)).astype(np.float32)
    (wanted,), (found,) = interpret(before, [x]), interpret(after, [x])
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_a_graph_without_composites_stays():
    graph = Graph((X,), (make.exp(X),))
    assert expand(graph) is graph


@pytest.mark.parametrize("name", ["softmax", "safe_softmax"])
def test_special_values_of_softmax(name):
    inf, nan = np.inf, np.nan
    rows = [[0, 1, 2], [-inf, 0, 0], [-inf] * 3, [nan, 0, 0], [inf, 0, 0], [3e38, -3e38, 0]]
    x = make.input_node(TensorType(F32, (len(rows), 3)), "x")
    before = Graph((x,), (make.apply(name, x, axes=(1,)),))
    given = [np.array(rows, np.float32)]
    (wanted,), (found,) = interpret(before, given), interpret(expand(before), given)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    blind = found[2]
    assert np.isnan(blind).all() if name == "softmax" else not blind.any()


def test_rows_and_their_deviation_share_their_parts():
    """What a backward pass asks of the forward one is computed once."""
    both = [make.apply(name, X, axes=(1,), eps=1e-5) for name in ("standardise", "deviation")]
    graph = run_passes(Graph((X,), tuple(both)))
    assert [node.op.name for node in graph.nodes].count("sqrt") == 1


@pytest.mark.parametrize("op", COMPOSITES, ids=str)
def test_the_backward_pass_reads_the_result(op):
    """Nothing of how the result was computed is differentiated."""
    (x,) = gradient(
        make.sum(make.mul(composite(op), 2.0), tuple(range(composite(op).type.rank))), [X]
    )
    kinds = {node.op.name for node in Graph((X,), (x,)).nodes}
    assert not kinds & {"max", "argmax", "exp", "log", "sqrt"}
