"""Outputs that are inputs, constants, states or each other: how every value reaches the caller."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.order import TRIFLE
from ir import make
from ir.graph import Graph
from ir.types import BOOL, F32, I64, TensorType

SHAPE = (5, 17)


@pytest.fixture
def states():
    return [make.input_node(TensorType(F32, SHAPE), name) for name in "abc"]


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.integers(-9, 9, SHAPE).astype(np.float32) for _ in range(3)]


def twice(x):
    return make.mul(x, 2.0)


def product(x, y):
    """Reads every element of ``x`` for each of its own."""
    return make.dot(make.dot(x, y, ((1,), (1,))), y, ((1,), (0,)))


def test_states_change_places(assert_compiled, states, arrays):
    a, b, c = states
    assert_compiled(Graph((a, b, c), (b, a, c)), arrays, {0: 0, 1: 1, 2: 2}, exact=True)


def test_states_shift_while_one_is_computed(assert_compiled, states, arrays):
    a, b, c = states
    graph = Graph((a, b, c), (twice(c), a, b, b))
    assert_compiled(graph, arrays, {0: 0, 1: 1, 2: 2}, exact=True)


def test_one_value_for_two_states_and_the_caller(assert_compiled, states, arrays):
    a, b, c = states
    new = make.add(a, c)
    program = assert_compiled(Graph((a, b, c), (new, new, new)), arrays, {0: 0, 1: 1}, exact=True)
    found = program.run([array.copy() for array in arrays])
    assert not np.shares_memory(found[0], found[2])


def test_old_and_new_value_of_a_state(assert_compiled, states, arrays):
    a, b, c = states
    assert_compiled(Graph((a, b, c), (a, twice(a), a)), arrays, {1: 0}, exact=True)


def test_two_states_that_read_each_other_whole(assert_compiled, states, arrays):
    """Whichever is written first, the other still needs the old one."""
    a, b, c = states
    graph = Graph((a, b, c), (product(a, b), product(b, a)))
    program = assert_compiled(graph, arrays, {0: 0, 1: 1}, exact=True)
    assert len(program.kernels.copies) == 1


def test_a_state_read_elsewhere_in_its_own_kernel(assert_compiled, states, arrays):
    a, b, c = states
    graph = Graph((a, b, c), (make.flip(a, (0, 1)), make.add(b, make.flip(b, (1,)))))
    program = assert_compiled(graph, arrays, {0: 0, 1: 1}, exact=True)
    assert len(program.kernels.copies) == 2


@pytest.mark.parametrize("rows", [1, 16])
def test_a_large_state_read_where_it_is_written_needs_no_copy(assert_compiled, rows):
    """What reads a small one may come after it is written: then the new value waits beside it."""
    shape = (16 * rows, TRIFLE // 64)
    a, b, c = (make.input_node(TensorType(F32, shape), name) for name in "abc")
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, shape).astype(np.float32) for _ in range(3)]
    graph = Graph((a, b, c), (make.add(a, twice(b)), make.sub(b, c), make.sum(a, (0, 1))))
    program = assert_compiled(graph, arrays, {0: 0, 1: 1}, exact=True)
    assert bool(program.kernels.copies) == (rows == 1)


def test_constants_positions_and_views_as_outputs(assert_compiled, states, arrays):
    a, b, c = states
    outputs = (
        make.full(2.5, F32, (3, 18)),
        make.constant(7, I64),
        make.constant(True, BOOL),
        make.iota((4, 20), 1, I64),
        make.transpose(a, (1, 0)),
        make.reshape(b, (85,)),
        make.broadcast(make.constant(1.0, F32), SHAPE, ()),
        make.gt(a, b),
    )
    for batch_inputs in ((), (0, 1, 2)):
        assert_compiled(Graph((a, b, c), outputs), arrays, {6: 2}, batch_inputs, exact=True)


def test_a_constant_for_two_states(assert_compiled, states, arrays):
    zero = make.full(0.0, F32, SHAPE)
    assert_compiled(Graph(tuple(states), (zero, zero)), arrays, {0: 0, 1: 2}, exact=True)


def test_no_output_at_all(states, arrays):
    assert compile_graph(Graph(tuple(states), ())).run(arrays) == []


def test_results_of_two_runs_are_apart(states, arrays):
    a, b, c = states
    program = compile_graph(Graph((a, b, c), (twice(a), a)))
    first = program.run(arrays)
    before = [array.copy() for array in first]
    second = program.run([array + 1 for array in arrays])
    for one, kept, other in zip(first, before, second, strict=True):
        np.testing.assert_array_equal(one, kept)
        assert not np.shares_memory(one, other)


@pytest.mark.parametrize(
    ("donated", "message"),
    [
        ({0: 0, 1: 0}, "two outputs"),
        ({1: 0, 2: 1}, "cannot take the memory"),
    ],
)
def test_donations_that_cannot_be(states, donated, message):
    a, b, c = states
    graph = Graph((a, b, c), (twice(a), twice(b), make.sum(c, (0,))))
    with pytest.raises(ValueError, match=message):
        compile_graph(graph, donated)


@pytest.mark.parametrize("wrong", ["dtype", "order"])
def test_arrays_that_kernels_cannot_read(states, arrays, wrong):
    a, b, c = states
    program = compile_graph(Graph((a, b, c), (make.add(a, b),)))
    array = arrays[0].astype(np.float64) if wrong == "dtype" else np.asfortranarray(arrays[0])
    with pytest.raises(TypeError, match=r"a: f32\[5, 17\]"):
        program.run([array, *arrays[1:]])
