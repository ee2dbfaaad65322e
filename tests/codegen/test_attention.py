"""Attention in, kernels that take turns over heads and keep no array of scores whole out."""

from itertools import pairwise

import numpy as np
import pytest

from codegen import compile_graph
from codegen.attention import attentions, softmax_of, with_weights_again
from codegen.compile import plan_kernels
from codegen.driver import get_num_threads, set_num_threads
from ir import make
from ir.dims import symbol
from ir.grad import gradient
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import F32, F64, I64, TensorType

HEADS = ((0, 1), (0, 1))


def attention(queries, keys, width, heads=(2, 4), dtype=F32, values=None, blind=0):
    """Softmax attention and its gradients, which come after all of the result; the first ``blind``
    queries see nothing."""
    shapes = [(queries, width), (keys, width), (keys, values or width)]
    q, k, v = (
        make.input_node(TensorType(dtype, (*heads, *shape)), name)
        for shape, name in zip(shapes, "qkv", strict=True)
    )
    scores = make.mul(make.dot(q, k, ((3,), (3,)), HEADS), width**-0.5)
    if blind:
        row = make.iota(scores.shape, 2, I64)
        hidden = make.lt(row, make.full_like(row, blind))
        scores = make.select(hidden, make.full_like(scores, -np.inf), scores)
    name = "safe_softmax" if blind else "softmax"
    out = make.dot(make.apply(name, scores, axes=(3,)), v, ((3,), (2,)), HEADS)
    loss = make.sum(make.mul(make.mul(out, out), out), (0, 1, 2, 3))
    return run_passes(Graph((q, k, v), (out, *gradient(loss, [q, k, v]))))


def arrays_for(graph, sizes=None):
    rng = np.random.default_rng(0)
    shapes = [[(sizes or {}).get(str(n), n) for n in node.shape] for node in graph.inputs]
    return [
        rng.standard_normal(shape).astype(node.dtype)
        for node, shape in zip(graph.inputs, shapes, strict=True)
    ]


SHAPES = {
    "whole heads": attention(64, 64, 32, heads=(4, 4)),
    "uneven": attention(100, 133, 40, values=24),
    "blocks of queries": attention(1024, 1024, 8),
    "a prime": attention(197, 197, 8),
    "float64": attention(256, 256, 8, dtype=F64),
    "queries that see nothing": attention(96, 112, 16, blind=3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_values(assert_compiled, name):
    graph = SHAPES[name]
    program = assert_compiled(graph, arrays_for(graph), ulps=256)
    assert [count for _, count in program.kernels.groups] == [3, 6]
    scores = int(np.prod(graph.inputs[0].shape[:3]) * graph.inputs[1].shape[2])
    rest = 16 * sum(array.nbytes for array in arrays_for(graph))
    assert program.arena_bytes < scores * graph.inputs[0].dtype.itemsize + rest


def test_weights_without_a_softmax_take_turns_too(assert_compiled):
    """``exp`` and a quotient at the end: what makes the weights again has no sum of its own."""
    shapes = ((2, 4, 96, 16), (2, 4, 128, 16), (2, 4, 128, 16))
    q, k, v = (
        make.input_node(TensorType(F32, shape), name)
        for shape, name in zip(shapes, "qkv", strict=True)
    )
    grown = make.exp(make.mul(make.dot(q, k, ((3,), (3,)), HEADS), 0.1))
    total = make.broadcast(make.sum(grown, (3,)), q.shape, (0, 1, 2))
    out = make.div(make.dot(grown, v, ((3,), (2,)), HEADS), total)
    loss = make.sum(make.mul(make.mul(out, out), out), (0, 1, 2, 3))
    graph = run_passes(Graph((q, k, v), (out, *gradient(loss, [q, k, v]))))
    program = assert_compiled(graph, arrays_for(graph), ulps=256)
    own = {b for plan in program.plans for b in plan.nest.buffers if b.own}
    assert len(program.kernels.groups) == 2
    assert {buffer.shape for buffer in own} == {(96, 128)}
    assert not any(
        b.shape[-2:] == (96, 128) for p in program.plans for b in p.nest.buffers if not b.own
    )


def test_long_sequences_need_a_block_of_queries_only():
    graph = SHAPES["blocks of queries"]
    _, plans = plan_kernels(graph, {}, ())
    own = {b for plan in plans for b in plan.nest.buffers if b.own}
    assert len(own) == 5  # scores and weights, and once more with the gradient of the weights
    assert max(int(buffer.shape[0]) for buffer in own) == 64
    assert all(buffer.shape[1] == 1024 for buffer in own)
    last = [plan for plan in plans if plan.nest.turns][-1]
    assert last.strips == last.nest.chained == last.nest.turns[-1].extent == 32


def test_results_do_not_depend_on_the_threads():
    before = get_num_threads()
    graph = SHAPES["blocks of queries"]
    program, arrays = compile_graph(graph), arrays_for(graph)
    try:
        runs, arenas = [], []
        for threads in (1, 2, 3, 1):
            set_num_threads(threads)
            runs.append(program.run([array.copy() for array in arrays]))
            arenas.append(program.memory_plan(arrays).total)
    finally:
        set_num_threads(before)
    for one, other in pairwise(runs):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert arenas[0] == arenas[3] < arenas[1] < arenas[2]  # each thread has a strip of its own


def test_the_number_of_heads_may_be_open(assert_compiled):
    graph = attention(64, 48, 16, heads=(symbol("N"), 3))
    for n in (1, 5, 16):
        program = assert_compiled(graph, arrays_for(graph, {"N": n}), batch_inputs=(0, 1, 2))
    assert [count for _, count in program.kernels.groups] == [3, 6]


def test_weights_are_made_again_where_the_result_is_known():
    graph = SHAPES["whole heads"]
    again = with_weights_again(graph)
    dots = [sum(n.op.name == "dot" for n in g.nodes) for g in (graph, again)]
    assert dots == [6, 7]
    assert sum(n.op.name == "log" for n in again.nodes) == 1  # one number a row is kept
    exponentials = [n for n in again.nodes if n.op.name == "exp"]
    assert len(exponentials) == 2
    (quotient,) = [n for n in again.nodes if softmax_of(n)]
    assert len([n for n in again.nodes if quotient in n.inputs]) == 1


def test_what_nothing_comes_after_is_left_alone():
    graph = SHAPES["whole heads"]
    forward = Graph(graph.inputs, graph.outputs[:1])
    assert attentions(forward)
    assert with_weights_again(forward) is forward


@pytest.mark.parametrize(
    "graph",
    [
        attention(8, 8, 4),  # small: what is stored stays near
        attention(64, 64, 32, heads=(1, 2)),  # too few heads for threads to share
        attention(64, 32, 48),  # scores are smaller than what they are made of
    ],
)
def test_small_attentions_keep_their_weights(graph):
    assert not attentions(graph)
    assert not plan_kernels(graph, {}, ())[0].groups


def test_a_chain_of_products_is_no_attention():
    a, b, c = (make.input_node(TensorType(F32, (8, 128, 128)), name) for name in "abc")
    product = make.dot(make.dot(a, b, ((2,), (1,)), ((0,), (0,))), c, ((2,), (1,)), ((0,), (0,)))
    assert not attentions(Graph((a, b, c), (product,)))


def test_weights_that_are_a_result_are_stored_whole(assert_compiled):
    graph = SHAPES["whole heads"]
    (weights,) = [n for n in graph.nodes if softmax_of(n)]
    both = Graph(graph.inputs, (*graph.outputs, weights))
    program = assert_compiled(both, arrays_for(both))
    assert program.kernels.groups
    assert not program.kernels.outputs[-1].own
