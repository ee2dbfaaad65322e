"""Nothing is computed twice; different things stay different."""

from ir import make
from ir.graph import Graph, Location, located
from ir.passes import cse
from ir.types import F32, TensorType, dtype_of

X = make.input_node(TensorType(F32, (2, 3)), "x")


def count(graph, name):
    return sum(node.op.name == name for node in graph.nodes)


def test_equal_subtrees_become_one():
    left, right = (make.exp(make.mul(X, 2.0)) for _ in range(2))
    graph = cse(Graph((X,), (make.add(left, right),)))
    assert [node.op.name for node in graph.nodes] == [
        "input",
        "constant",
        "broadcast",
        "mul",
        "exp",
        "add",
    ]
    (total,) = graph.outputs
    assert total.inputs[0] is total.inputs[1]


def test_attributes_and_signs_of_zero_tell_apart():
    outputs = (make.sum(X, (0,)), make.sum(X, (1,)), make.add(X, 0.0), make.add(X, -0.0))
    graph = Graph((X,), outputs)
    assert count(cse(graph), "sum") == 2
    assert count(cse(graph), "add") == 2


def test_equal_inputs_stay_two():
    twin = make.input_node(X.type, "x")
    graph = Graph((X, twin), (make.sub(X, twin),))
    assert cse(graph) is graph


def test_random_bits_of_one_key_are_the_same_bits():
    key = make.input_node(TensorType(dtype_of("u32"), (2,)), "key")
    graph = Graph((key,), (make.random_bits(key, (4,)), make.random_bits(key, (4,))))
    assert count(cse(graph), "random_bits") == 1


def test_the_first_line_stays():
    nodes = []
    for line in (3, 9):
        with located(Location("net.py", line)):
            nodes.append(make.exp(X))
    graph = cse(Graph((X,), tuple(nodes)))
    assert graph.outputs[0] is graph.outputs[1]
    assert graph.outputs[0].loc == Location("net.py", 3)
