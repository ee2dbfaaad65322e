"""Whole graphs through the interpreter: symbolic sizes, wrong inputs, silence about infinities."""

import numpy as np
import pytest

from ir import make
from ir.dims import symbol
from ir.graph import Graph
from ir.interpret import bind_symbols, interpret
from ir.types import F32, TensorType

N = symbol("N")


def test_symbols_take_their_values_from_the_inputs():
    x = make.input_node(TensorType(F32, (N, 3)), "x")
    mean = make.div(make.sum(x, (0, 1)), make.size(3 * N, F32))
    flat = make.reshape(x, (3 * N,))
    graph = Graph((x,), (mean, flat))
    for rows in (1, 2, 7):
        array = np.random.default_rng(0).standard_normal((rows, 3)).astype(np.float32)
        found = interpret(graph, [array])
        np.testing.assert_allclose(found[0], array.mean(), rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(found[1], array.ravel())


def test_computed_sizes_are_checked():
    assert bind_symbols([(N, 2 * N)], [(3, 6)]) == {"N": 3}
    with pytest.raises(ValueError, match=r"dimension is 5, the graph says 2\*N"):
        bind_symbols([(N, 2 * N)], [(3, 5)])
    with pytest.raises(ValueError, match="dimension is 5, the graph says 4"):
        bind_symbols([(4,)], [(5,)])
    with pytest.raises(ValueError, match="dimension is 4, the graph says N"):
        bind_symbols([(N,), (N,)], [(3,), (4,)])


def test_infinities_are_values_and_not_warnings():
    x = make.input_node(TensorType(F32, (2,)), "x")
    outputs = (make.div(x, 0.0), make.sum(make.log(x), (0,)), make.dot(x, x, ((0,), (0,))))
    found = interpret(Graph((x,), outputs), [np.array([np.inf, -1], np.float32)])
    np.testing.assert_array_equal(found[0], [np.inf, -np.inf])
    assert np.isnan(found[1])
    assert found[2] == np.inf


def test_an_input_may_be_an_output():
    x = make.input_node(TensorType(F32, (2,)), "x")
    array = np.ones(2, np.float32)
    assert interpret(Graph((x,), (x,)), [array])[0] is array
