"""Layers in, one plan for those that are equal out, and never one for two that differ."""

import dataclasses

import numpy as np
import pytest

from codegen import compile_graph, nests, vector
from codegen.compile import plan_kernels
from codegen.nest import walk
from ir import make
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import run_passes
from ir.types import F32, TensorType


def stack(depth, width=24, batch=32):
    """A chain of equal layers, its loss and updated weights; weights are donated."""
    x = make.input_node(TensorType(F32, (batch, width)), "x")
    weights = [make.input_node(TensorType(F32, (width, width)), f"w{at}") for at in range(depth)]
    out = x
    for weight in weights:
        out = make.apply("tanh", make.dot(out, weight, ((1,), (1,))))
    loss = make.sum(make.mul(out, out), (0, 1))
    slopes = gradient(loss, weights)
    new = [make.sub(w, make.mul(g, 1e-3)) for w, g in zip(weights, slopes, strict=True)]
    graph = run_passes(Graph((x, *weights), (loss, *new)))
    return graph, {at + 1: at + 1 for at in range(depth)}


def planned(depth, monkeypatch, shared=True):
    """Plans of the stack, and how many kernels were planned one by one."""
    graph, donated = stack(depth)
    calls = []
    whole = nests._Planner._plan
    with monkeypatch.context() as patch:
        patch.setattr(nests._Planner, "_plan", lambda self, c: (calls.append(c), whole(self, c))[1])
        if not shared:
            patch.setattr(nests, "can_rename", lambda nest: False)
        _, plans = plan_kernels(graph, donated, (0,))
    return plans, len(calls)


def test_deeper_networks_plan_no_more_kernels(monkeypatch):
    _, few = planned(6, monkeypatch)
    plans, more = planned(12, monkeypatch)
    assert few == more < len(plans) / 2


def test_a_renamed_plan_is_the_plan_that_would_have_been_made(monkeypatch):
    shared, few = planned(6, monkeypatch)
    alone, all_ = planned(6, monkeypatch, shared=False)
    assert few < all_
    assert [p.nest.name for p in shared] == [p.nest.name for p in alone]
    assert [p.nest.comment for p in shared] == [p.nest.comment for p in alone]
    assert [p.describe() for p in shared] == [p.describe() for p in alone]
    for mine, theirs in zip(shared, alone, strict=True):
        assert [str(b) for b in mine.nest.buffers] == [str(b) for b in theirs.nest.buffers]
        exprs = [list(walk([r.value for r in p.nest.roots])) for p in (mine, theirs)]
        assert [type(e) for e in exprs[0]] == [type(e) for e in exprs[1]]
    assert vector.Module(shared, {}).names == vector.Module(alone, {}).names


def test_every_layer_reads_its_own_arrays():
    graph, donated = stack(6)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape).astype(np.float32) / 4 for n in graph.inputs]
    expected = interpret(graph, arrays)
    found = compile_graph(graph, donated, (0,)).run([a.copy() for a in arrays])
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("second", ["other op", "same operand", "other size"])
def test_what_differs_is_planned_apart(second):
    x, y = (make.input_node(TensorType(F32, (64, 8)), name) for name in "xy")
    first = make.sum(make.mul(x, y), (1,))
    if second == "other op":
        other = make.sum(make.add(x, y), (1,))
    elif second == "same operand":
        other = make.sum(make.mul(y, y), (1,))
    else:
        other = make.sum(make.slice(make.mul(x, y), (0, 0), (64, 7), (1, 1)), (1,))
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((64, 8)).astype(np.float32) for _ in range(2)]
    graph = Graph((x, y), (first, other))
    for mine, theirs in zip(
        compile_graph(graph).run(arrays), interpret(graph, arrays), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_changed_nest_is_like_no_other(monkeypatch):
    plans, _ = planned(6, monkeypatch)
    alike = next(p.nest for p in plans if p.nest.like is not None)
    assert dataclasses.replace(alike, comment="changed").like is None


def test_many_counters_are_equal_kernels(monkeypatch):
    """An optimizer's step counts: one piece of code however many there are."""
    counts = [make.input_node(TensorType(F32, ()), f"n{at}") for at in range(96)]
    new = [make.add(n, 1.0) for n in counts]
    graph = run_passes(Graph(tuple(counts), tuple(new)))
    _, plans = plan_kernels(graph, {at: at for at in range(96)}, ())
    assert max(len(p.nest.roots) for p in plans) <= 32
    assert len(set(vector.Module(plans, {}).names)) == 1
