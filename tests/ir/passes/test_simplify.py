"""Algebra that floats keep: each rule before and after, and what must stay as it is."""

import pytest

from ir import make
from ir.graph import Graph
from ir.passes import simplify
from ir.types import BOOL, F32, I64, TensorType

X = make.input_node(TensorType(F32, (2, 3)), "x")
Y = make.input_node(TensorType(F32, (2, 3)), "y")
S = make.input_node(TensorType(F32, ()), "s")
I = make.input_node(TensorType(I64, (3,)), "i")  # noqa: E741
C = make.input_node(TensorType(BOOL, (2, 3)), "c")
REPEATED = make.broadcast(S, (2, 3), ())
TRUE, FALSE = make.full(True, BOOL, (2, 3)), make.full(False, BOOL, (2, 3))


def simplified(node):
    return simplify(Graph((X, Y, S, I, C), (node,))).outputs[0]


REWRITTEN = [
    (make.mul(X, 1.0), "x"),
    (make.mul(1.0, X), "x"),
    (make.mul(X, -1.0), "neg(x)"),
    (make.mul(I, 1), "i"),
    (make.div(X, 1.0), "x"),
    (make.div(X, 4.0), "mul(x, 0.25)"),
    (make.div(X, -0.5), "mul(x, -2.0)"),
    (make.sub(X, 0.0), "x"),
    (make.add(X, -0.0), "x"),
    (make.add(I, 0), "i"),
    (make.add(2.0, X), "add(x, 2.0)"),
    (make.mul(REPEATED, X), "mul(x, broadcast[axes=()](s))"),
    (make.mul(2.0, REPEATED), "mul(broadcast[axes=()](s), 2.0)"),
    (make.lt(0.0, X), "gt(x, 0.0)"),
    (make.apply("ge", make.full_like(X, 1.0), X), "le(x, 1.0)"),
    (make.neg(make.neg(X)), "x"),
    (make.neg(make.neg(make.neg(X))), "neg(x)"),
    (make.add(X, make.neg(Y)), "sub(x, y)"),
    (make.add(make.neg(X), Y), "sub(y, x)"),
    (make.sub(X, make.neg(Y)), "add(x, y)"),
    (make.mul(make.neg(X), make.neg(Y)), "mul(x, y)"),
    (make.mul(make.neg(X), 3.0), "mul(x, -3.0)"),
    (make.neg(make.mul(X, REPEATED)), "mul(x, broadcast[axes=()](neg(s)))"),
    (make.pow(X, 1.0), "x"),
    (make.pow(X, 2.0), "mul(x, x)"),
    (make.apply("abs", make.apply("abs", X)), "abs(x)"),
    (make.apply("abs", make.neg(X)), "abs(x)"),
    (make.apply("relu", make.apply("relu", X)), "relu(x)"),
    (make.apply("maximum", X, X), "x"),
    (make.apply("minimum", X, X), "x"),
    (make.apply("and", C, C), "c"),
    (make.apply("not", make.apply("not", C)), "c"),
    (make.apply("not", make.apply("not", make.apply("not", C))), "not(c)"),
    (make.apply("not", make.eq(X, Y)), "ne(x, y)"),
    (make.select(C, X, X), "x"),
    (make.select(TRUE, X, Y), "x"),
    (make.select(FALSE, X, Y), "y"),
    (make.select(make.apply("not", C), X, Y), "select(c, y, x)"),
    (make.apply("slice", X, start=(0, 0), stop=(2, 3), step=(1, 1)), "x"),
    (make.apply("concatenate", X, axis=0), "x"),
    (
        make.concatenate([X, make.slice(Y, (0, 0), (0, 3), (1, 1)), X], 0),
        "concatenate[axis=0](x, x)",
    ),
    (make.argmax(make.reshape(X, (6, 1)), (1,)), "0"),
]
KEPT = [
    make.add(X, 0.0),
    make.sub(0.0, X),
    make.sub(X, -0.0),
    make.mul(X, 0.0),
    make.div(X, X),
    make.sub(X, X),
    make.eq(X, X),
    make.div(X, 3.0),
    make.div(X, 0.0),
    make.div(X, 2.0**127),
    make.mul(make.mul(X, 3.0), 5.0),
    make.add(make.add(X, 3.0), 5.0),
    make.neg(make.sub(X, Y)),
    make.apply("not", make.lt(X, Y)),
    make.pow(X, 0.5),
    make.pow(X, 0.0),
    make.apply("maximum", X, Y),
    make.slice(X, (0, 1), (2, 3), (1, 1)),
]


@pytest.mark.parametrize(("before", "after"), REWRITTEN, ids=[after for _, after in REWRITTEN])
def test_rewritten(spell, before, after):
    assert spell(simplified(before)) == after


@pytest.mark.parametrize("node", KEPT, ids=[repr(node) for node in KEPT])
def test_kept(node):
    graph = Graph((X, Y, S, I, C), (node,))
    assert simplify(graph) is graph
