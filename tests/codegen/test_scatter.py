"""Sums at computed places in, kernels that push out: the interpreter's values, one order."""

import numpy as np
import pytest

from codegen import get_num_threads, set_num_threads
from codegen.compile import plan_kernels
from codegen.scatter import scatter_of
from ir import make
from ir.graph import Graph
from ir.types import F32, I64, TensorType


def gradient_of_embedding(tokens, width, rows):
    x = make.input_node(TensorType(F32, (*tokens, width)), "x")
    index = make.input_node(TensorType(I64, tokens), "index")
    return Graph((x, index), (make.put_add(x, index, 0, rows),))


def arrays_for(tokens, width, rows):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((*tokens, width)).astype(np.float32)
    return [x, rng.integers(0, rows, tokens)]


@pytest.fixture
def threads():
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


@pytest.mark.parametrize(
    ("tokens", "width", "rows"),
    [((40,), 8, 11), ((300,), 33, 7), ((5,), 16, 100), ((1,), 1, 3), ((64,), 20, 64)],
)
def test_values(assert_compiled, tokens, width, rows):
    assert_compiled(gradient_of_embedding(tokens, width, rows), arrays_for(tokens, width, rows))


@pytest.mark.parametrize("extent", [1, 15, 16, 37, 160])
@pytest.mark.parametrize("count", [1, 4])
def test_rows_of_places_are_cleared_whole(assert_compiled, threads, extent, count):
    """The gradient of a gather, along an axis whose places lie side by side; and of one row."""
    threads(count)
    rng = np.random.default_rng(4)
    x = make.input_node(TensorType(F32, (5, 64)), "x")
    index = make.input_node(TensorType(I64, (5, 64)), "index")
    arrays = [rng.standard_normal((5, 64)).astype(np.float32), rng.integers(0, extent, (5, 64))]
    assert_compiled(Graph((x, index), (make.put_along(x, index, 1, extent),)), arrays)
    x = make.input_node(TensorType(F32, (64,)), "x")
    index = make.input_node(TensorType(I64, (64,)), "index")
    graph = Graph((x, index), (make.put_add(x, index, 0, extent),))
    assert_compiled(graph, [array[0] for array in arrays])


def test_it_is_known_as_a_push():
    _, plans = plan_kernels(gradient_of_embedding((40,), 8, 11), {}, ())
    assert [plan.scatter is not None for plan in plans] == [True]


def test_a_product_is_none():
    x = make.input_node(TensorType(F32, (40, 40)), "x")
    kernels, _ = plan_kernels(Graph((x,), (make.dot(x, x, ((1,), (0,))),)), {}, ())
    assert all(scatter_of(nest) is None for nest in kernels.nests)


def test_bits_do_not_depend_on_the_threads(assert_compiled, threads):
    graph, arrays = gradient_of_embedding((3000,), 24, 9), arrays_for((3000,), 24, 9)
    program = assert_compiled(graph, arrays, ulps=1e4)
    found = []
    for count in (1, 2, 4):
        threads(count)
        found.append(program.run(arrays)[0].copy())
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
