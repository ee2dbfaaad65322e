"""Reverse mode over graphs: what it adds up, what it refuses, where it stops."""

import numpy as np
import pytest

from ir import make
from ir.errors import UnsupportedError
from ir.grad import gradient, vjp
from ir.graph import Graph, Location, located
from ir.interpret import interpret
from ir.passes import run_passes
from ir.types import F32, F64, I64, TensorType
from ir.verify import verify

X = make.input_node(TensorType(F64, (3,)), "x")
Y = make.input_node(TensorType(F64, (3,)), "y")
VALUES = [np.array([0.5, -1.0, 2.0]), np.array([3.0, 0.25, -2.0])]


def value(*outputs):
    return interpret(Graph((X, Y), outputs), VALUES)


def test_uses_of_a_value_add_up():
    loss = make.sum(make.add(make.mul(X, X), make.mul(X, Y)), (0,))
    x, y = VALUES
    dx, dy = value(*gradient(loss, [X, Y]))
    np.testing.assert_allclose(dx, 2 * x + y)
    np.testing.assert_allclose(dy, x)


def test_third_derivative():
    node = make.sum(make.mul(make.mul(X, X), make.mul(X, X)), (0,))
    for _ in range(3):
        (slope,) = gradient(node, [X])
        node = make.sum(slope, (0,))
    np.testing.assert_allclose(value(slope)[0], 24 * VALUES[0])


def test_an_intermediate_node_has_a_gradient():
    hidden = make.exp(X)
    loss = make.sum(make.mul(hidden, Y), (0,))
    np.testing.assert_allclose(value(*gradient(loss, [hidden]))[0], VALUES[1])


def test_what_the_output_does_not_depend_on():
    loss = make.sum(X, (0,))
    np.testing.assert_array_equal(value(*gradient(loss, [Y]))[0], np.zeros(3))
    assert vjp({loss: make.full_like(loss, 1)}, [Y]) == [None]


def test_integers_carry_no_gradient():
    index = make.cast(make.cast(X, I64), F64)
    loss = make.sum(make.mul(index, Y), (0,))
    np.testing.assert_array_equal(value(*gradient(loss, [X]))[0], np.zeros(3))


def test_several_outputs_each_with_a_cotangent():
    double, square = make.mul(X, 2.0), make.mul(X, X)
    (slope,) = vjp({double: Y, square: make.full_like(X, 1)}, [X])
    np.testing.assert_allclose(value(slope)[0], 2 * VALUES[1] + 2 * VALUES[0])


def test_nothing_flows_through_what_is_stopped():
    fixed = make.mul(X, X)
    loss = make.sum(make.mul(fixed, X), (0,))
    dx, dfixed = vjp({loss: make.full_like(loss, 1)}, [X, fixed], stop={fixed})
    found = value(dx, dfixed)
    np.testing.assert_allclose(found[0], VALUES[0] ** 2)
    np.testing.assert_allclose(found[1], VALUES[0])


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2)])
def test_a_product_has_its_first_and_second_derivative_at_zeros(zeros):
    values = np.array([2.0, 3.0, -1.5, 4.0])
    values[list(zeros)] = 0
    x = make.input_node(TensorType(F64, (4,)), "x")
    (first,) = gradient(make.apply("prod", x, axes=(0,)), [x])
    rows = [
        gradient(make.sum(make.slice(first, (i,), (i + 1,), (1,)), (0,)), [x])[0] for i in range(4)
    ]
    found = interpret(Graph((x,), (first, *rows)), [values])
    np.testing.assert_allclose(found[0], [np.prod(np.delete(values, i)) for i in range(4)])
    for i, row in enumerate(found[1:]):
        wanted = [0 if i == j else np.prod(np.delete(values, [i, j])) for j in range(4)]
        np.testing.assert_allclose(row, wanted)


def test_only_scalars_have_a_gradient():
    with pytest.raises(ValueError, match=r"gradient of a value of shape \[3\]"):
        gradient(X, [X])


def test_an_op_without_a_rule_is_named_with_its_line():
    y = make.input_node(TensorType(F64, (2,)), "z")
    bits = make.apply("prod", y, axes=(0,))
    no_rule = type(bits.op)(**{**vars(bits.op), "vjp": None})
    node = type(bits)(no_rule, bits.inputs, bits.attrs, bits.type, Location("net.py", 3))
    with pytest.raises(UnsupportedError, match=r"prod has no derivative rule \(net.py:3\)"):
        gradient(node, [y])


def test_gradient_nodes_carry_the_line_of_what_they_differentiate():
    with located(Location("net.py", 5, "h = x * y")):
        product = make.mul(X, Y)
    (slope,) = gradient(make.sum(product, (0,)), [X])
    assert slope.loc is not None
    assert slope.loc.line == 5


def test_max_pool_sends_the_cotangent_to_the_first_largest():
    x = make.input_node(TensorType(F32, (1, 4)), "x")
    pooled = make.max(make.window(x, (1,), (2,), (2,), (1,)), (2,))
    (slope,) = gradient(make.sum(pooled, (0, 1)), [x])
    (found,) = interpret(Graph((x,), (slope,)), [np.array([[1, 1, 0, 2]], np.float32)])
    np.testing.assert_array_equal(found, [[1, 0, 0, 1]])


def test_a_step_of_training_through_the_pipeline():
    """Softmax regression with momentum: the passes change nothing that can be measured."""
    rng = np.random.default_rng(0)
    x = make.input_node(TensorType(F64, (8, 5)), "x")
    t = make.input_node(TensorType(I64, (8,)), "t")
    w = make.input_node(TensorType(F64, (3, 5)), "w")
    b = make.input_node(TensorType(F64, (3,)), "b")
    rate = make.input_node(TensorType(F64, ()), "rate")
    z = make.dot(x, w, ((1,), (1,)))
    z = make.add(z, make.broadcast(b, z.shape, (1,)))
    z = make.sub(z, make.broadcast(make.reshape(make.max(z, (1,)), (8, 1)), z.shape, (0, 1)))
    norm = make.log(make.reshape(make.sum(make.exp(z), (1,)), (8, 1)))
    logs = make.sub(z, make.broadcast(norm, z.shape, (0, 1)))
    hit = make.eq(make.iota(z.shape, 1, I64), make.broadcast(t, z.shape, (0,)))
    loss = make.neg(make.div(make.sum(make.mul(logs, make.cast(hit, F64)), (0, 1)), 8.0))
    updated = [
        make.sub(p, make.mul(g, make.broadcast(rate, p.shape, ())))
        for p, g in zip((w, b), gradient(loss, [w, b]), strict=True)
    ]
    graph = Graph((x, t, w, b, rate), (loss, *updated))
    after = run_passes(graph)
    verify(after)
    assert len(after.nodes) < len(graph.nodes)
    arrays = [rng.standard_normal((8, 5)), rng.integers(0, 3, 8), rng.standard_normal((3, 5))]
    arrays += [np.zeros(3), np.asarray(0.5)]
    losses = []
    for _ in range(30):
        wanted, found = interpret(graph, arrays), interpret(after, arrays)
        for left, right in zip(found, wanted, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)
        losses.append(float(found[0]))
        arrays[2:4] = found[1:]
    assert losses[-1] < 0.5 * losses[0]
