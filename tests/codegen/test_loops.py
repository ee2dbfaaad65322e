"""Compiled loops and call-outs against the interpreter."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.printing import print_program
from ir import make
from ir.errors import LinAlgError, UnsupportedError
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.loops import carried, close_body, item, last_row, rows_after, scan
from ir.types import F32, TensorType


def recurrent(turns, batch, narrow, wide, reverse=False, only_last=False):
    """A recurrent network's loss and gradients."""
    shapes = ((turns, batch, narrow), (batch, wide), (wide, wide), (narrow, wide), (wide,))
    inputs = [make.input_node(TensorType(F32, s), f"in{at}") for at, s in enumerate(shapes)]
    x, h0, u, w, b = inputs
    state = make.input_node(h0.type, "state")
    slice_ = make.input_node(TensorType(F32, (batch, narrow)), "slice")
    z = make.add(
        make.dot(state, u, ((1,), (0,)), ((), ())), make.dot(slice_, w, ((1,), (0,)), ((), ()))
    )
    h = make.apply("tanh", make.add(z, make.broadcast(b, (batch, wide), (1,))))
    body, outer = close_body([state, slice_], [h, make.mul(h, h)])
    results = scan(body, 1, 1, [h0, x, *outer], turns, reverse)
    history = item(results, 0)
    loss = make.sum(make.mul(item(results, 1), 0.5), (0, 1, 2))
    loss = make.add(loss, make.sum(make.mul(last_row(history, reverse), 3.0), (0, 1)))
    if not only_last:
        loss = make.add(loss, make.sum(make.exp(rows_after(history, reverse)), (0, 1, 2)))
    return Graph(tuple(inputs), (loss, *gradient(loss, inputs)))


def arrays_for(graph):
    rng = np.random.default_rng(5)
    return [0.4 * rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("only_last", [False, True])
@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (3, 33, 8, 24), (3, 1, 1, 1)])
def test_recurrent_network(assert_compiled, shape, reverse, only_last):
    graph = recurrent(*shape, reverse, only_last)
    assert_compiled(graph, arrays_for(graph), batch_inputs=(1,), exact=False)


def test_portable_spelling(assert_close):
    graph = recurrent(3, 4, 2, 3)
    arrays = arrays_for(graph)
    found = compile_graph(graph, spelling="numba").run(arrays)
    for a, b in zip(found, interpret(graph, arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_more_turns_need_no_more_kernels():
    few, many = (compile_graph(recurrent(turns, 4, 2, 3)) for turns in (8, 128))
    assert len(few.plans) == len(many.plans)


def test_carries_that_change_places(assert_compiled):
    """A turn may hand a value on as it is: to another carry, or as an output."""
    a, b = (make.input_node(TensorType(F32, (4,)), name) for name in "ab")
    x = make.input_node(TensorType(F32, (5, 4)), "x")
    first, second, slice_ = (make.input_node(a.type, name) for name in ("f", "s", "x"))
    body, _ = close_body([first, second, slice_], [second, slice_, first, first])
    results = scan(body, 2, 1, [a, b, x], 5)
    outputs = (*carried(results), item(results, 0), item(results, 2), item(results, 3))
    graph = Graph((a, b, x), outputs)
    assert_compiled(graph, arrays_for(graph), exact=True)


def test_loop_inside_a_loop_is_refused():
    start = make.input_node(TensorType(F32, (3,)), "start")
    state, inner = (make.input_node(start.type, name) for name in ("outer", "inner"))
    body, _ = close_body([inner], [make.exp(inner)])
    (once,) = carried(scan(body, 1, 0, [state], 2))
    outer, _ = close_body([state], [once], [state])
    graph = Graph((start,), tuple(carried(scan(outer, 1, 0, [start], 2))))
    with pytest.raises(UnsupportedError, match="inside a loop"):
        compile_graph(graph)


def factored():
    """A step that reads, factors and updates a state of matrices."""
    a = make.input_node(TensorType(F32, (3, 5, 5)), "a")
    b = make.input_node(TensorType(F32, (3, 5, 2)), "b")
    x = make.apply("solve", make.mul(a, 2.0), b, check=True)
    loss = make.sum(make.mul(x, x), (0, 1, 2))
    (grad_a,) = gradient(loss, [a])
    return Graph((a, b), (loss, make.sub(a, make.mul(grad_a, 0.1)), make.apply("det", a)))


@pytest.mark.parametrize("spelling", ["vector", "numba"])
def test_lapack_between_kernels(spelling):
    graph = factored()
    rng = np.random.default_rng(2)
    a = (rng.standard_normal((3, 5, 5)) + 4 * np.eye(5)).astype(np.float32)
    b = rng.standard_normal((3, 5, 2)).astype(np.float32)
    expected = interpret(graph, [a, b])
    program = compile_graph(graph, donated={1: 0}, spelling=spelling)
    state = a.copy()
    found = program.run([state, b])
    assert found[1] is state
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert "by LAPACK" in print_program(program, [a.shape, b.shape])


def test_a_failed_call_changes_no_state():
    program = compile_graph(factored(), donated={1: 0})
    a, b = np.zeros((3, 5, 5), np.float32), np.ones((3, 5, 2), np.float32)
    with pytest.raises(LinAlgError, match="singular"):
        program.run([a, b])
    np.testing.assert_array_equal(a, 0)


def test_a_history_is_read_where_it_lies():
    """The backward loop reads all rows but the last of the forward one's history: no copy."""
    program = compile_graph(recurrent(8, 4, 2, 3))
    histories = {b.name for b in program.kernels.places.values() for b in b.touched}
    copied = [n for n in program.kernels.nests if n.is_copy and n.name.startswith("k")]
    assert histories
    assert not [n for n in copied if any(load.buffer.name in histories for load in n.loads)]
