"""Sizes that come and go in, one arena and few plans out; results as if each had its own."""

import numpy as np
import pytest

from codegen import compile_graph, get_num_threads, set_num_threads
from codegen.arena import Arena
from ir.dims import symbol
from ir.interpret import interpret

SIZES = (40, 17, 33, 3, 1, 64, 16, 65, 50, 7, 200, 64)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


@pytest.fixture(scope="module")
def step(networks):
    """A small network's training step for any batch size."""
    return networks.mlp(symbol("N"), (33, 20, 17, 10))


@pytest.fixture
def program(step):
    return compile_graph(step.graph, step.donated, step.batch_inputs)


@pytest.fixture
def made(monkeypatch):
    """The sizes for which a plan was made."""
    found = []
    whole = Arena.plan

    def watched(self, env, *rule):
        found.append(dict(env))
        return whole(self, env, *rule)

    monkeypatch.setattr(Arena, "plan", watched)
    return found


def run(step, program, size):
    arrays = step.arrays(size, seed=size)
    expected = interpret(step.graph, [array.copy() for array in arrays])
    found = program.run([array.copy() for array in arrays])
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)


def test_results_of_sizes_in_any_order(step, program):
    for size in SIZES:
        run(step, program, size)


def test_smaller_sizes_need_no_plan(step, program, made):
    for size in (100, 90, 99, 64, 50):
        run(step, program, size)
    assert made == [{"N": 100}]


def test_growing_sizes_need_few_plans(step, program, made):
    for size in range(40, 120, 2):
        run(step, program, size)
    assert 2 <= len(made) <= 7
    assert all(after["N"] % 16 == 0 for after in made[1:])


def test_all_sizes_use_the_same_bytes(step, program):
    for size in SIZES:
        run(step, program, size)
    places = {id(binding.arena) for binding in program._bindings.values()}
    assert len(places) == 1
    largest = max(binding.plan.total for binding in program._bindings.values())
    assert next(iter(program._bindings.values())).arena.nbytes >= largest


def test_barriers_are_those_of_the_size_itself(step, program):
    """A plan with room for larger sizes has the barriers that the size at hand needs."""
    for size in (20, 50, 40, 90):
        run(step, program, size)
    for size in (50, 40, 90, 5, 16, 17):
        fresh = compile_graph(step.graph, step.donated, step.batch_inputs)
        assert program.barriers({"N": size}) == fresh.barriers({"N": size})


def test_another_size_costs_no_look_at_the_kernels(step, program, monkeypatch):
    """Who shares what with whom does not depend on sizes, but for those of one block."""
    for size in (64, 5):
        run(step, program, size)

    def refused(*_):
        raise AssertionError("looked at the kernels again")

    monkeypatch.setattr("codegen.arena.barriers", refused)
    monkeypatch.setattr("codegen.arena.lives", refused)
    for size in (63, 7, 17, 640):
        run(step, program, size)


def test_a_larger_size_goes_on_in_the_same_memory(step, program, monkeypatch):
    """Addresses are reserved: what other sizes are bound to stays."""
    monkeypatch.setattr("codegen.pages.LARGE", 0)
    run(step, program, 64)
    before = program._bindings[next(iter(program._bindings))]
    run(step, program, 200)
    assert before in program._bindings.values()


def test_a_plan_holds_every_buffer_of_a_smaller_size(step, program):
    run(step, program, 100)
    plan = program.memory_plan(step.arrays(61))
    offsets = sorted(plan.offsets.values())
    assert plan.offsets == program.memory_plan(step.arrays(100)).offsets
    assert len(offsets) == len(plan.intervals)
