"""Constants combine, and arithmetic runs before its operands are repeated."""

import pytest

from ir import make
from ir.graph import Graph
from ir.passes import fold
from ir.types import F32, F64, I64, TensorType

S = make.input_node(TensorType(F32, ()), "s")
T = make.input_node(TensorType(F32, ()), "t")
V = make.input_node(TensorType(F32, (3,)), "v")
W = make.input_node(TensorType(F32, (3,)), "w")
X = make.input_node(TensorType(F32, (2, 3)), "x")


def repeat(node, *axes):
    return make.broadcast(node, (2, 3), axes)


def folded(node):
    return fold(Graph((S, T, V, W, X), (node,))).outputs[0]


REWRITTEN = [
    (make.add(make.constant(1.5, F32), make.constant(2.0, F32)), "3.5"),
    (make.cast(make.constant(2.7, F64), I64), "2"),
    (make.lt(make.constant(1.0, F32), make.constant(2.0, F32)), "True"),
    (make.add(make.full(1.0, F32, (2, 3)), make.full(2.0, F32, (2, 3))), "3.0"),
    (make.exp(repeat(S)), "broadcast[axes=()](exp(s))"),
    (make.mul(repeat(S), repeat(T)), "broadcast[axes=()](mul(s, t))"),
    (make.sub(1.0, repeat(S)), "broadcast[axes=()](sub(1.0, s))"),
    (make.add(repeat(V, 1), repeat(W, 1)), "broadcast[axes=(1,)](add(v, w))"),
    (
        make.mul(repeat(V, 1), repeat(S)),
        "broadcast[axes=(1,)](mul(v, broadcast[axes=()](s)))",
    ),
    (make.mul(2.0, repeat(V, 1)), "broadcast[axes=(1,)](mul(2.0, v))"),
    (
        make.select(make.lt(repeat(S), repeat(T)), repeat(S), make.full_like(X, 0.0)),
        "broadcast[axes=()](select(lt(s, t), s, 0.0))",
    ),
    (make.transpose(make.full(2.0, F32, (2, 3)), (1, 0)), "2.0"),
    (make.window(repeat(S), (1,), (2,), (1,), (1,)), "broadcast[axes=()](s)"),
    (make.pad(make.full(0.0, F32, (2,)), (1,), (1,)), "0.0"),
    (make.iota((4, 1), 1, I64), "0"),
]
KEPT = [
    make.add(X, 1.0),
    make.add(X, repeat(S)),
    make.add(repeat(V, 1), X),
    make.add(make.broadcast(V, (3, 3), (0,)), make.broadcast(W, (3, 3), (1,))),
    make.sum(repeat(S), (0,)),
    make.pad(make.full(1.0, F32, (2,)), (1,), (1,)),
    make.pad(make.full(0.0, F32, (2,)), (1,), (1,), value=-0.0),
    make.iota((4, 2), 1, I64),
]


@pytest.mark.parametrize(("before", "after"), REWRITTEN, ids=[after for _, after in REWRITTEN])
def test_rewritten(spell, before, after):
    result = folded(before)
    assert spell(result) == after
    assert result.type == before.type


@pytest.mark.parametrize("node", KEPT, ids=[repr(node) for node in KEPT])
def test_kept(node):
    graph = Graph((S, T, V, W, X), (node,))
    assert fold(graph) is graph


def test_division_of_constants_by_zero_is_infinity():
    assert folded(make.div(make.constant(1.0, F32), 0.0)).attrs["value"] == float("inf")


def test_an_optimizers_bias_correction_stays_scalar():
    """Adam's ``m / (1 - b ** t)`` costs one power for a parameter, not one for each element."""
    decay = make.pow(make.full(0.9, F32, (2, 3)), repeat(S))
    corrected = make.div(X, make.sub(1.0, decay))
    graph = fold(Graph((S, X), (corrected,)))
    assert {node.shape for node in graph.nodes if node.op.name in ("pow", "sub")} == {()}
