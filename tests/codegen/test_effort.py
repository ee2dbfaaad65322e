"""How much work a program is, and that one thread does what is too little to share."""

import numpy as np
import pytest

from codegen import compile_graph, effort
from codegen.driver import get_num_threads, set_num_threads
from codegen.effort import Effort
from ir import make
from ir.dims import symbol
from ir.graph import Graph
from ir.types import F32, I64, TensorType

LIMIT = 2e5  # tests set the true one to none


def product(rows, inner=40, columns=24):
    """relu(x @ w)"""
    x = make.input_node(TensorType(F32, (rows, inner)), "x")
    w = make.input_node(TensorType(F32, (inner, columns)), "w")
    dot = make.dot(x, w, ((1,), (0,)), ((), ()))
    return Graph((x, w), (make.apply("relu", dot),))


def arrays(rows, inner=40, columns=24):
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal(shape).astype(np.float32) for shape in ((rows, inner), (inner, columns))
    ]


def work(program, env):
    return sum(Effort.of(plan.nest).at(env) for plan in program.plans)


def test_arithmetic_is_counted_where_it_is_done():
    program = compile_graph(product(32))
    sums, rest = 2 * 32 * 40 * 24, 32 * 24
    assert sums <= work(program, {}) <= sums + 4 * rest


def test_open_sizes_count_as_known_ones():
    rows = symbol("N")
    for count in (1, 32, 1000):
        known = work(compile_graph(product(count)), {})
        assert work(compile_graph(product(rows)), {"N": count}) == pytest.approx(known, rel=0.05)


def test_rows_that_are_pushed_are_counted_once():
    """The gradient of an embedding: no row is asked whether a value is meant for it."""
    x = make.input_node(TensorType(F32, (64, 8)), "x")
    index = make.input_node(TensorType(I64, (64,)), "index")
    few, many = (Graph((x, index), (make.put_add(x, index, 0, rows),)) for rows in (10, 10_000))
    assert work(compile_graph(few), {}) == work(compile_graph(many), {})


@pytest.mark.parametrize(("size", "alone"), [(32, True), (4000, False)])
def test_one_thread_does_what_is_too_little_to_share(monkeypatch, size, alone):
    before = get_num_threads()
    set_num_threads(2)
    try:
        given = arrays(size)
        shared = compile_graph(product(size))
        (wanted,) = shared.run(given)
        assert not shared._latest.alone
        monkeypatch.setattr(effort, "LITTLE", LIMIT)
        program = compile_graph(product(size))
        (found,) = program.run(given)
        assert program._latest.alone == alone
        np.testing.assert_array_equal(found, wanted)
    finally:
        set_num_threads(before)
