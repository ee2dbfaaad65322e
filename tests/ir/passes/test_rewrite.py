"""The walk under every rewriting pass: sharing, lines, and the two laws of rules."""

import pytest

from ir import make
from ir.errors import VerifyError
from ir.graph import Graph, Location, located
from ir.passes.rewrite import literal, names, rewrite, rewrite_nodes
from ir.types import F32, F64, TensorType

X = make.input_node(TensorType(F32, (2,)), "x")


def test_without_a_firing_the_graph_is_the_same_object():
    graph = Graph((X,), (make.neg(X),))
    assert rewrite(graph, {"exp": (make.neg,)}) is graph


def test_a_chain_longer_than_the_interpreters_stack():
    node = X
    for _ in range(3000):
        node = make.neg(make.exp(node))
    graph = rewrite(Graph((X,), (node,)), {"neg": (lambda node: node.inputs[0],)})
    assert len(graph.nodes) == 3001


def test_new_nodes_belong_to_the_line_of_the_old():
    with located(Location("net.py", 8)):
        old = make.mul(X, 2.0)
    new = rewrite_nodes([old], {"mul": (lambda node: make.add(*[node.inputs[0]] * 2),)})[old]
    assert new.op.name == "add"
    assert new.loc == Location("net.py", 8)


def test_a_rule_that_changes_the_type_is_caught():
    def widen(node):
        return make.cast(node, F64)

    with pytest.raises(VerifyError, match=r"rule widen made neg f32\[2\] into f64\[2\]"):
        rewrite_nodes([make.neg(X)], {"neg": (widen,)})


def test_rules_that_go_round_in_circles_are_caught():
    rules = {
        "neg": (lambda node: make.exp(node.inputs[0]),),
        "exp": (lambda node: make.neg(node.inputs[0]),),
    }
    with pytest.raises(VerifyError, match="do not come to an end"):
        rewrite_nodes([make.neg(X)], rules)


def test_names_and_literals():
    assert names(make.mul(make.neg(X), X)) == ("mul", "neg", "input")
    assert literal(make.full(2.5, F32, (3, 4))) == 2.5
    assert literal(make.constant(0.0, F32)) == 0.0
    assert literal(X) is None
    assert (
        literal(make.broadcast(make.reshape(make.full(1.0, F32, (2,)), (2,)), (3, 2), (1,))) is None
    )
