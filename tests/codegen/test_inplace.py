"""Results that take an operand's place: which do, and that values stay as they are."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.driver import get_num_threads, set_num_threads
from codegen.inplace import Fitting, owners, taken_places
from codegen.nest import Load, walk
from ir import make
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import run_passes
from ir.types import F32, TensorType


def step():
    """A product whose sums over the batch make a second one's weight, and both of them in a third:
    what the second product's kernel stores, it stores in the place of the first one's result."""
    x = make.input_node(TensorType(F32, (512, 64)), "x")
    shapes = ((64, 256), (64, 256), (256, 32))
    first, second, third = (make.input_node(TensorType(F32, shape), "w") for shape in shapes)
    a = make.dot(x, first, ((1,), (0,)))
    sums = make.mul(make.sum(a, (0,)), 1 / 512)
    b = make.dot(x, make.mul(second, make.broadcast(sums, (64, 256), (1,))), ((1,), (0,)))
    out = make.dot(make.apply("exp", make.add(a, b)), third, ((1,), (0,)))
    return run_passes(Graph((x, first, second, third), (out,)))


@pytest.fixture(scope="module")
def graph():
    return step()


@pytest.fixture(scope="module")
def program(graph):
    return compile_graph(graph, batch_inputs=(0,))


@pytest.fixture(scope="module")
def arrays(graph):
    rng = np.random.default_rng(0)
    return [rng.normal(size=n.shape).astype(np.float32) / 4 for n in graph.inputs]


def test_results_are_the_interpreters_with_any_number_of_threads(graph, program, arrays):
    assert program.memory_plan(arrays).instead, "nothing takes another one's place"
    wanted, before = interpret(graph, arrays), get_num_threads()
    found = []
    try:
        for threads in (1, 2, 4):
            set_num_threads(threads)
            found.append([x.copy() for x in program.run(arrays)])
    finally:
        set_num_threads(before)
    for got, want in zip(found[0], wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4 * np.abs(want).max())
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_nobody_reads_what_was_taken(program, arrays):
    """Proved from the kernels: after the one that takes a place, or beside it, none touches it."""
    phase, phases = 0, []
    for wait in program.barriers({}):
        phase += wait
        phases.append(phase)
    nests = [plan.nest for plan in program.plans]
    for new, old in program.memory_plan(arrays).instead.items():
        made = next(k for k, nest in enumerate(nests) if any(_named(nest.roots, new)))
        users = [k for k, nest in enumerate(nests) if old in {b.name for b in nest.buffers}]
        assert max(users) == made
        assert all(phases[k] < phases[made] for k in users if k != made)
        (root,) = _named(nests[made].roots, new)
        loads = [e for e in walk([root.value]) if isinstance(e, Load) and e.buffer.name == old]
        assert loads
        assert all(load.index == root.index for load in loads)


def _named(roots, name):
    return [root for root in roots if root.buffer.name == name]


def test_places_are_handed_on():
    assert owners({"b": "a", "c": "b", "z": "y"}) == {"b": "a", "c": "a", "z": "y"}


def test_nothing_is_taken_within_a_phase(program):
    """Without a barrier another thread may still read the operand."""
    nests = [plan.nest for plan in program.plans]
    assert not taken_places(Fitting(nests), [0] * len(nests), ())
