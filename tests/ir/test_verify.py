"""Each way in which a graph can be broken is caught, and named."""

from dataclasses import replace

import pytest

from ir import make
from ir.errors import VerifyError
from ir.graph import Graph, Location, Node
from ir.types import F32, F64, TensorType
from ir.verify import verify

X = make.input_node(TensorType(F32, (2, 3)), "x")
Y = make.input_node(TensorType(F32, (2, 3)), "y")
SUM = make.apply("add", X, Y, loc=Location("net.py", 7, "x + y"))


def cycle() -> Graph:
    first = make.neg(X)
    last = make.add(first, Y)
    object.__setattr__(first, "inputs", (last,))
    return Graph((X, Y), (last,))


CORRUPTIONS = {
    "needs its own result": cycle(),
    "has type f64[2,3], its rule says f32[2,3]": Graph(
        (X, Y), (replace(SUM, type=TensorType(F64, (2, 3))),)
    ),
    "takes 2 operands, has 1": Graph((X, Y), (replace(SUM, inputs=(X,)),)),
    "shapes differ: [2, 3] and [3, 2]": Graph(
        (X, Y), (replace(SUM, inputs=(X, make.transpose(Y, (1, 0)))),)
    ),
    "is not a row of the op table": Graph((X, Y), (replace(SUM, op=replace(SUM.op, cost=2.0)),)),
    "bad attributes: KeyError('axes')": Graph((X,), (replace(make.sum(X, (0,)), attrs={}),)),
    "bad attributes: TypeError": Graph((X,), (replace(make.sum(X, (0,)), attrs={"axes": 0}),)),
    "is not among the graph's inputs": Graph((X,), (SUM,)),
    "is listed as an input but is none": Graph((X, Y, SUM), (SUM,)),
    "an input is listed twice": Graph((X, Y, X), (SUM,)),
    "2 inputs have 1 names": Graph((X, Y), (SUM,), ("x",)),
    "1 outputs have 2 names": Graph((X, Y), (SUM,), (), ("a", "b")),
}


def test_good_graphs_pass():
    verify(Graph((X, Y), (SUM,), ("x", "y"), ("z",)))
    verify(Graph((X, Y), (X, X, SUM)))
    verify(Graph((), ()))


@pytest.mark.parametrize(("problem", "graph"), CORRUPTIONS.items(), ids=list(CORRUPTIONS))
def test_corruption_is_caught(problem, graph):
    with pytest.raises(VerifyError) as caught:
        verify(graph)
    assert problem in str(caught.value)


def test_the_message_names_pass_line_and_op():
    broken = Graph((X, Y), (replace(SUM, inputs=(X,)),))
    with pytest.raises(VerifyError, match=r"^after fold: net.py:7: add\(f32\[2,3\]\): takes 2"):
        verify(broken, "after fold")


def test_a_diamond_is_no_cycle():
    node: Node = X
    for _ in range(200):
        node = make.add(node, node)
    verify(Graph((X,), (node,)))
