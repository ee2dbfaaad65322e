"""Orders in compiled steps: short ones are counted, NumPy sorts long ones, on several threads."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.calls import SHARE
from codegen.compile import compile_graph
from codegen.counted import COMPARED, ROW, counted_order, is_long
from codegen.driver import get_num_threads, set_num_threads
from codegen.printing import print_program
from ir import make
from ir.dims import symbol
from ir.graph import Graph
from ir.interpret import interpret
from ir.types import F32, TensorType

RNG = np.random.default_rng(0)


def order(shape, axis, descending, start, stop) -> Graph:
    x = make.input_node(TensorType(F32, shape), "x")
    return Graph((x,), (make.argsort(x, axis, descending, start, stop),))


@pytest.mark.parametrize(
    ("shape", "axis", "start", "stop"),
    [((6, 9), 1, 0, 9), ((6, 9), 0, 1, 3), ((40, 90), 1, 0, 90), ((90, 40), 0, 2, 5)],
)
@pytest.mark.parametrize("descending", [False, True])
def test_counted_and_called_orders_are_the_interpreters(shape, axis, start, stop, descending):
    graph = order(shape, axis, descending, start, stop)
    x = np.round(RNG.standard_normal(shape) * 4).astype(np.float32)
    x[RNG.random(shape) < 0.1] = np.nan
    (wanted,) = interpret(graph, [x])
    assert np.array_equal(interpret(counted_order(graph), [x])[0], wanted)
    for spelling in ("vector", "numba"):
        program = compile_graph(graph, spelling=spelling)
        assert bool(program.kernels.calls) == is_long(graph.outputs[0])
        assert np.array_equal(program.run([x])[0], wanted)


def test_the_size_decides() -> None:
    def asks(*shape):
        return is_long(order(shape, 1, False, 0, shape[1]).outputs[0])

    n = symbol("N")
    assert not asks(1 << 20, ROW)
    assert not asks(COMPARED // 64**2 - 1, 64)
    assert asks(COMPARED // 64**2, 64)
    assert asks(n, 64)
    assert not asks(n, ROW)
    assert asks(4, n)


def test_rows_of_a_symbolic_batch() -> None:
    graph = order((symbol("N"), 50), 1, True, 0, 4)
    program = compile_graph(graph)
    assert "by NumPy" in print_program(program, [(3, 50)])
    for rows in (3, 70, 0, 3):
        x = RNG.standard_normal((rows, 50)).astype(np.float32)
        assert np.array_equal(program.run([x])[0], interpret(graph, [x])[0])


@pytest.mark.parametrize("axis", [0, 1])
def test_threads_share_the_rows(axis: int) -> None:
    shape = (512, 3 * SHARE // 512)
    graph = order(shape, axis, False, 0, shape[axis])
    x = RNG.standard_normal(shape).astype(np.float32)
    program, before = compile_graph(graph), get_num_threads()
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            assert np.array_equal(program.run([x])[0], np.argsort(x, axis))
    finally:
        set_num_threads(before)


def test_everything_is_counted_where_nothing_may_be_called() -> None:
    graph = counted_order(order((1, 2000), 1, False, 0, 2000))
    assert {node.op.name for node in graph.nodes} == {"input", "iota", "rank", "put_along"}
