"""Sums of fewer elements: what is summed, that it is the same, and what must stay as it is."""

import numpy as np
import pytest

from ir import make
from ir.dims import symbol
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import run_passes
from ir.types import F32, I8, TensorType

N = symbol("N")


def pooled(n, kind="max", size=2, stride=2):
    """The gradient of a bias before a pooling layer."""
    x = make.input_node(TensorType(F32, (n, 3, 6, 6)), "x")
    bias = make.input_node(TensorType(F32, (3,)), "bias")
    image = make.add(x, make.broadcast(bias, x.shape, (1,)))
    windows = make.window(image, (2, 3), (size, size), (stride, stride), (1, 1))
    best = make.apply(kind, windows, axes=(4, 5))
    loss = make.sum(make.mul(best, best), tuple(range(4)))
    return Graph((x, bias), tuple(gradient(loss, [bias])))


def ops(graph):
    return {node.op.name for node in graph.nodes}


@pytest.mark.parametrize("n", [4, N])
@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 1)])
def test_a_bias_before_pooling_sums_what_the_pooling_hands_back(n, kind, size, stride):
    graph = pooled(n, kind, size, stride)
    found = run_passes(graph)
    assert {"fold", "eq", "select", "argmax", "argmin"} & ops(graph)
    assert not {"fold", "eq", "select", "argmax", "argmin"} & ops(found)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 6, 6)).astype(np.float32)
    arrays = [x, rng.normal(size=3).astype(np.float32)]
    np.testing.assert_allclose(interpret(found, arrays), interpret(graph, arrays), rtol=2e-6)


def test_a_mean_before_pooling_sums_windows():
    graph = pooled(4, "sum")
    assert "fold" in ops(graph)
    assert "fold" not in ops(run_passes(graph))


def test_folds_that_are_summed_in_part_stay():
    x = make.input_node(TensorType(F32, (2, 3, 4, 2)), "x")
    fold = make.fold(x, (2,), (2,), (2,), (1,), [8])
    assert "fold" in ops(run_passes(Graph((x,), (make.sum(fold, (0, 1)),))))
    assert "fold" not in ops(run_passes(Graph((x,), (make.sum(fold, (0, 2)),))))


def picked(position, step=1, other=0.0, axes=(1,)):
    """The sum of values [4, 5] at one place of each row."""
    value = make.input_node(TensorType(F32, (4,)), "v")
    x = make.input_node(TensorType(F32, (4, 5)), "x")
    place = make.mul(make.iota((4, 5), 1, I8), step) if step != 1 else make.iota((4, 5), 1, I8)
    here = make.eq(place, make.broadcast(position(x), (4, 5), (0,)))
    values = make.broadcast(value, (4, 5), (0,))
    chosen = make.select(here, values, make.full(other, F32, (4, 5)))
    return Graph((value, x), (make.sum(chosen, axes),))


def argmax(x):
    return make.argmax(x, (1,), I8)


def arrays():
    rng = np.random.default_rng(1)
    return [rng.normal(size=4).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)]


@pytest.mark.parametrize("axes", [(1,), (0, 1)])
def test_a_value_at_the_place_of_an_extremum(axes):
    graph = picked(argmax, axes=axes)
    found = run_passes(graph)
    assert "eq" not in ops(found)
    np.testing.assert_allclose(interpret(found, arrays()), interpret(graph, arrays()), rtol=1e-6)


@pytest.mark.parametrize(
    "graph",
    [
        picked(argmax, step=2),  # not every place is one
        picked(argmax, other=1.0),  # what stands elsewhere counts
        picked(argmax, axes=(0,)),  # places stay apart
        picked(lambda x: make.cast(make.max(x, (1,)), I8)),  # any number
        picked(lambda x: make.argmax(make.slice(x, (0, 0), (4, 3), (1, 1)), (1,), I8)),
    ],
)
def test_what_is_summed_place_by_place(graph):
    found = run_passes(graph)
    assert "eq" in ops(found)
    np.testing.assert_allclose(interpret(found, arrays()), interpret(graph, arrays()), rtol=1e-6)
