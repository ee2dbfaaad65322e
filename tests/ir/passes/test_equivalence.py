"""Random graphs in: every pass gives a valid graph that computes the same bits."""

import pytest
from hypothesis import given, settings, strategies as st

from ir.interpret import interpret
from ir.passes import PIPELINE, canonicalise, canonicalise_nodes, run_passes
from ir.verify import verify

QUICK = settings(
    max_examples=800,
    deadline=None,
)


@pytest.mark.parametrize("step", PIPELINE, ids=lambda step: step.__name__)
@QUICK
@given(rng=st.randoms(use_true_random=True))
def test_pass_keeps_every_bit(step, draw_graph, assert_same, rng):
    graph, arrays = draw_graph(rng)
    before = interpret(graph, arrays)
    for _ in range(3):
        graph = step(graph)
        verify(graph)
    assert_same(interpret(graph, arrays), before, zero_signs=step is not canonicalise)


@QUICK
@given(rng=st.randoms(use_true_random=True))
def test_pipeline_keeps_every_value_and_settles(draw_graph, assert_same, rng):
    graph, arrays = draw_graph(rng)
    after = run_passes(graph, on_pass=lambda name, result: verify(result, name))
    assert_same(interpret(after, arrays), interpret(graph, arrays), zero_signs=False)
    assert after.inputs == graph.inputs
    assert after.output_names == graph.output_names
    assert run_passes(after) is after


@QUICK
@given(rng=st.randoms(use_true_random=True))
def test_canonicalise_nodes_maps_every_node_to_an_equal_one(draw_graph, rng):
    graph, _ = draw_graph(rng)
    new = canonicalise_nodes(graph.outputs)
    for old in graph.nodes:
        if old in new:
            assert new[old].type == old.type
            if all(new[source] is source for source in old.inputs) and old.op.name == "input":
                assert new[old] is old
