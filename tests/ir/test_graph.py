"""Building, ordering and rebuilding graphs; what a wrong operand is told."""

import numpy as np
import pytest

from ir import make
from ir.dims import symbol
from ir.errors import OpError
from ir.graph import Graph, Location, located, rebuild, toposort, with_inputs
from ir.types import F32, I64, TensorType

LINE = Location("net.py", 12, "y = x + w")


def tensor(*shape, dtype=F32, name="x"):
    return make.input_node(TensorType(dtype, shape), name)


@pytest.mark.parametrize(
    ("make_node", "error", "second_line"),
    [
        (
            lambda: make.add(tensor(4, 3), tensor(4, 5)),
            ValueError,
            "add(f32[4,3], f32[4,5]): shapes differ: [4, 3] and [4, 5]",
        ),
        (
            lambda: make.mul(tensor(4), tensor(4, dtype=I64)),
            TypeError,
            "mul(f32[4], i64[4]): dtypes differ: f32 and i64",
        ),
        (
            lambda: make.exp(tensor(4, dtype=I64)),
            TypeError,
            "exp(i64[4]): takes float operands, not i64",
        ),
        (
            lambda: make.dot(tensor(4, 3), tensor(5, 4), ((1,), (1,))),
            ValueError,
            "dot(f32[4,3], f32[5,4]): contracted sizes differ: "
            "3 (axis 1 of [4, 3]) and 4 (axis 1 of [5, 4])",
        ),
        (
            lambda: make.reshape(tensor(symbol("N"), 3), (4,)),
            ValueError,
            "reshape(f32[N,3]): 3*N elements do not fill shape [4]",
        ),
        (
            lambda: make.window(tensor(4), (0,), (5,), (1,), (1,)),
            ValueError,
            "window(f32[4]): a window of 5 does not fit into size 4 (axis 0)",
        ),
        (
            lambda: make.sum(tensor(4), (1,)),
            ValueError,
            "sum(f32[4]): axes (1,) are not distinct axes of [4]",
        ),
        (
            lambda: make.apply("add", tensor(4)),
            ValueError,
            "add(f32[4]): takes 2 operands",
        ),
    ],
)
def test_an_error_says_line_op_types_and_rule(make_node, error, second_line):
    with located(LINE), pytest.raises(OpError) as caught:
        make_node()
    lines = str(caught.value).splitlines()
    assert isinstance(caught.value, error)
    assert lines[0] == "net.py:12: y = x + w"
    assert lines[1] == second_line
    assert len(lines) <= 12


def test_a_hint_is_the_last_line():
    with pytest.raises(OpError, match=r"\nhint: cast one operand"):
        make.add(tensor(4), tensor(4, dtype=I64))


def test_nodes_remember_the_line_they_were_built_on():
    with located(LINE):
        inner = make.neg(tensor(4))
        assert make.apply("neg", inner, loc=Location("b.py", 1)).loc == Location("b.py", 1)
    assert inner.loc == LINE
    assert make.neg(inner).loc is None


def test_nodes_come_after_what_they_read_and_dead_nodes_do_not_exist():
    x, unused = tensor(2), tensor(3, name="unused")
    y = make.neg(x)
    make.exp(y)
    graph = Graph((x, unused), (make.add(y, x), y))
    assert [node.op.name for node in graph.nodes] == ["input", "input", "neg", "add"]
    assert graph.users()[x] == [y, graph.outputs[0]]
    assert graph.users()[unused] == []


def test_a_long_chain_needs_no_recursion():
    node = tensor(2)
    for _ in range(5000):
        node = make.neg(node)
    assert len(toposort([node])) == 5001


def test_keys_compare_structure():
    x = tensor(2)
    assert make.neg(x).key == make.neg(x).key
    assert make.neg(x).key != make.neg(tensor(2)).key
    assert make.constant(0.0, F32).key != make.constant(-0.0, F32).key
    assert make.sum(tensor(2, 2), (0,)).key != make.sum(tensor(2, 2), (1,)).key


def test_rebuild_keeps_order_and_names():
    x, y = tensor(2), tensor(2, name="y")
    graph = Graph((x, y), (make.sub(x, y),), ("x", "y"), ("d",))
    same = rebuild(graph, with_inputs)
    assert same.outputs == graph.outputs
    swapped = rebuild(graph, lambda node, inputs: make.apply("sub", *inputs[::-1]))
    assert swapped.input_names == ("x", "y")
    assert swapped.outputs[0].inputs == (y, x)


def test_scalars_beside_a_node_take_its_type():
    x = tensor(2, 3)
    node = make.mul(2, x)
    assert node.inputs[0].op.name == "broadcast"
    assert node.inputs[0].type == x.type
    assert make.full(1.5, F32, ()).op.name == "constant"
    assert make.constant(0.1, F32).attrs["value"] == float(np.float32(0.1))
