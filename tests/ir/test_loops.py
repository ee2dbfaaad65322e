"""Loops: the interpreter against plain Python, derivatives against differences, passes, text."""

import numpy as np
import pytest

from ir import make
from ir.errors import OpError
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.loops import carried, close_body, item, last_row, rows_after, scan
from ir.passes import run_passes
from ir.passes.loops import loops
from ir.text import parse_graph, print_graph
from ir.types import F64, I64, TensorType
from ir.verify import verify

TURNS, BATCH, WIDE, NARROW = 4, 3, 5, 2


def recurrent(reverse=False, only_last=False):
    """Inputs (x, h0, U, W, b) of a recurrent network, and a loss over its states and outputs."""
    x, h0, u, w, b = (
        make.input_node(TensorType(F64, shape), name)
        for name, shape in (
            ("x", (TURNS, BATCH, NARROW)),
            ("h0", (BATCH, WIDE)),
            ("U", (WIDE, WIDE)),
            ("W", (NARROW, WIDE)),
            ("b", (WIDE,)),
        )
    )
    state = make.input_node(h0.type, "state")
    slice_ = make.input_node(TensorType(F64, (BATCH, NARROW)), "slice")
    z = make.add(
        make.dot(state, u, ((1,), (0,)), ((), ())), make.dot(slice_, w, ((1,), (0,)), ((), ()))
    )
    h = make.apply("tanh", make.add(z, make.broadcast(b, (BATCH, WIDE), (1,))))
    body, outer = close_body([state, slice_], [h, make.mul(h, h)])
    results = scan(body, 1, 1, [h0, x, *outer], TURNS, reverse)
    history, squares = item(results, 0), item(results, 1)
    loss = make.sum(make.mul(squares, squares), (0, 1, 2))
    loss = make.add(loss, make.sum(make.mul(last_row(history, reverse), 3.0), (0, 1)))
    if not only_last:
        loss = make.add(loss, make.sum(make.exp(rows_after(history, reverse)), (0, 1, 2)))
    return [x, h0, u, w, b], loss


def values(inputs):
    rng = np.random.default_rng(7)
    return [0.5 * rng.standard_normal(node.shape) for node in inputs]


def by_hand(x, h, u, w, b, reverse=False, only_last=False):
    states = []
    for row in x[::-1] if reverse else x:
        h = np.tanh(h @ u + row @ w + b)
        states.append(h)
    loss = sum((s**4).sum() for s in states) + 3.0 * h.sum()
    return loss if only_last else loss + sum(np.exp(s).sum() for s in states)


def differences(function, arrays, at, step=1e-6):
    out = np.zeros_like(arrays[at])
    for place in np.ndindex(out.shape):
        ends = []
        for sign in (1, -1):
            moved = [x.copy() for x in arrays]
            moved[at][place] += sign * step
            ends.append(function(moved))
        out[place] = (ends[0] - ends[1]) / (2 * step)
    return out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("only_last", [False, True])
def test_values_and_derivatives(reverse, only_last):
    inputs, loss = recurrent(reverse, only_last)
    arrays = values(inputs)
    graph = Graph(tuple(inputs), (loss, *gradient(loss, inputs)))
    found = interpret(graph, arrays)
    assert found[0] == pytest.approx(by_hand(*arrays, reverse, only_last), rel=1e-12)
    for at, derivative in enumerate(found[1:]):
        expected = differences(lambda a: by_hand(*a, reverse, only_last), arrays, at)
        np.testing.assert_allclose(derivative, expected, atol=1e-7)


def test_second_derivatives():
    inputs, loss = recurrent()
    (first,) = gradient(loss, [inputs[2]])
    second = gradient(make.sum(make.mul(first, first), (0, 1)), inputs)
    arrays = values(inputs)
    alone = Graph(tuple(inputs), (make.sum(make.mul(first, first), (0, 1)),))
    found = interpret(Graph(tuple(inputs), tuple(second)), arrays)
    for at, derivative in enumerate(found):
        expected = differences(lambda a: interpret(alone, a)[0], arrays, at)
        np.testing.assert_allclose(derivative, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("only_last", [False, True])
def test_passes_merge_the_two_forward_loops(only_last):
    inputs, loss = recurrent(only_last=only_last)
    graph = Graph(tuple(inputs), (loss, *gradient(loss, inputs)))
    done = run_passes(graph)
    verify(done)
    scans = [node for node in done.nodes if node.op.name == "scan"]
    assert len(scans) == 2
    forward, backward = scans
    assert (forward.attrs["keep"], backward.attrs["keep"]) == ((True,), (False,))
    arrays = values(inputs)
    for a, b in zip(interpret(graph, arrays), interpret(done, arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_constants_of_the_body_gather_their_cotangents_in_one_contraction():
    inputs, loss = recurrent()
    done = run_passes(Graph(tuple(inputs), tuple(gradient(loss, inputs))))
    backward = [node for node in done.nodes if node.op.name == "scan"][-1]
    carried_types = [node.type for node in backward.attrs["body"].graph.inputs[:1]]
    assert backward.attrs["carries"] == 1, "no weight's gradient is added up turn by turn"
    assert carried_types == [inputs[1].type]


def test_a_sum_that_is_no_contraction_is_carried():
    k = make.input_node(TensorType(F64, (3,)), "k")
    x = make.input_node(TensorType(F64, (4, 3)), "x")
    state = make.input_node(k.type, "state")
    slice_ = make.input_node(k.type, "slice")
    body, outer = close_body([state, slice_], [make.add(make.mul(state, k), slice_)])
    results = scan(body, 1, 1, [x_row(x), x, *outer], 4)
    (end,) = carried(results)
    (derivative,) = gradient(make.sum(end, (0,)), [k])
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(3), rng.standard_normal((4, 3))]
    alone = Graph((k, x), (make.sum(end, (0,)),))
    found = interpret(Graph((k, x), (derivative,)), arrays)[0]
    expected = differences(lambda a: interpret(alone, a)[0], arrays, 0)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def x_row(x):
    return make.reshape(make.slice(x, (0, 0), (1, 3), (1, 1)), (3,))


def test_unread_results_and_operands_are_dropped():
    x = make.input_node(TensorType(F64, (4, 3)), "x")
    unread = make.input_node(TensorType(F64, (4, 3)), "unread")
    start = make.input_node(TensorType(F64, (3,)), "start")
    state, one, other = (make.input_node(start.type, name) for name in ("s", "a", "b"))
    body, _ = close_body([state, one, other], [make.add(state, one), make.exp(other), one])
    results = scan(body, 1, 2, [start, x, unread], 4)
    done = run_passes(Graph((x, unread, start), tuple(carried(results))))
    (node,) = [node for node in done.nodes if node.op.name == "scan"]
    assert node.inputs == (start, x)
    assert len(node.attrs["body"].graph.outputs) == 1
    assert node.attrs["keep"] == (False,)


def test_a_history_stays_while_anyone_reads_it():
    """Two items of one carry, of which one is read at the end and one everywhere."""
    start = make.input_node(TensorType(F64, (3,)), "start")
    state = make.input_node(start.type, "s")
    body, _ = close_body([state], [make.mul(state, 0.5)])
    results = scan(body, 1, 0, [start], 4)
    total = make.sum(rows_after(item(results, 0), False), (0,))
    graph = Graph((start,), (*carried(results), total))
    done = loops(graph)
    for one in (graph, done, run_passes(graph)):
        end, total = interpret(one, [np.ones(3)])
        np.testing.assert_array_equal(end, np.full(3, 1 / 16))
        np.testing.assert_array_equal(total, np.full(3, 15 / 16))


def test_no_turns_give_the_start():
    start = make.input_node(TensorType(F64, (3,)), "start")
    state = make.input_node(start.type, "s")
    body, _ = close_body([state], [make.exp(state)])
    results = scan(body, 1, 0, [start], 0)
    graph = Graph((start,), tuple(carried(results)))
    for one in (graph, run_passes(graph)):
        np.testing.assert_array_equal(interpret(one, [np.arange(3.0)])[0], np.arange(3.0))


def test_text_round_trip():
    inputs, loss = recurrent(reverse=True)
    graph = run_passes(Graph(tuple(inputs), (loss, *gradient(loss, inputs))))
    text = print_graph(graph)
    again = parse_graph(text)
    assert print_graph(again) == text
    arrays = values(inputs)
    for a, b in zip(interpret(graph, arrays), interpret(again, arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_carry_that_changes_its_type_is_refused():
    start = make.input_node(TensorType(F64, (3,)), "start")
    state = make.input_node(start.type, "s")
    body, _ = close_body([state], [make.cast(state, I64)])
    with pytest.raises(OpError, match="types and shapes must stay"):
        scan(body, 1, 0, [start], 2)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_carried_and_handed_out_is_stored_once(reverse):
    x = make.input_node(TensorType(F64, (TURNS, WIDE)), "x")
    start = make.input_node(TensorType(F64, (WIDE,)), "start")
    state, slice_ = (make.input_node(start.type, name) for name in ("state", "slice"))
    after = make.apply("tanh", make.add(state, slice_))
    body, _ = close_body([state, slice_], [after, after])
    results = scan(body, 1, 1, [start, x], TURNS, reverse)
    graph = Graph((x, start), (make.exp(item(results, 1)), make.sum(item(results, 0), (0, 1))))
    done = run_passes(graph)
    (loop,) = (node for node in done.nodes if node.op.name == "scan")
    assert len(loop.attrs["body"].graph.outputs) == loop.attrs["carries"]
    rng = np.random.default_rng(0)
    given = [rng.standard_normal(node.shape) for node in graph.inputs]
    for found, wanted in zip(interpret(done, given), interpret(graph, given), strict=True):
        np.testing.assert_array_equal(found, wanted)
