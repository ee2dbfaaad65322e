"""Programs in, the text of their kernels out."""

import numpy as np
import pytest

from codegen import Program, compile_graph
from codegen.decisions import print_clusters
from codegen.printing import equations, print_kernel, print_program
from ir import make
from ir.graph import Graph
from ir.types import F32, TensorType


def given(name: str, *shape: int):
    return make.input_node(TensorType(F32, shape), name)


@pytest.fixture(scope="module")
def program() -> Program:
    """A layer, and a momentum update whose state is donated."""
    x, w, slot = given("x", 32, 8), given("w", 8, 5), given("slot", 8, 5)
    y = make.apply("tanh", make.dot(x, w, contract=((1,), (0,))))
    moved = make.add(make.mul(slot, 0.9), w)
    graph = Graph((x, w, slot), (y, moved, make.sub(w, moved)))
    return compile_graph(graph, donated={1: 2, 2: 1}, batch_inputs=[0], name="printed")


SHAPES = [(32, 8), (8, 5), (8, 5)]


def test_every_kernel_and_the_memory_plan_are_shown(program: Program) -> None:
    text = print_program(program, SHAPES)
    for plan in program.plans:
        assert plan.nest.name in text
        assert plan.describe() in text
    assert "memory plan" in text
    assert "lanes on axis 0" in text


def test_filter_keeps_one_kernel(program: Program) -> None:
    text = print_program(program, SHAPES, "tanh")
    assert "tanh" in text
    assert "memory plan" not in text
    assert text.count("core ") == 1


def test_reductions_and_shared_values_have_lines(program: Program) -> None:
    (layer,) = [plan.nest for plan in program.plans if "tanh" in plan.nest.name]
    first, last = equations(layer)
    assert first.startswith("t0 = sum[")
    assert "x_lanes[i0, r" in first
    assert last.endswith("= tanh(t0)")


def test_an_update_is_told_from_a_write(program: Program) -> None:
    (update,) = [plan for plan in program.plans if "slot" in print_kernel(plan)]
    text = print_kernel(update)
    assert "updates slot: f32[8, 5]" in text
    assert "t0 = (slot[i0, i1] * 0.899999976) + w[i0, i1]" in text
    assert "w[i0, i1] = w[i0, i1] - t0" in text


def test_guards_are_conditions() -> None:
    x = given("x", 16, 4)
    padded = make.pad(x, (0, 1), (0, 1))
    program = compile_graph(Graph((x,), (make.exp(padded),)), name="padded")
    assert "if 0 <= i1 - 1 < 4 else 0" in print_program(program, [(16, 4)])


def test_clusters_have_reason_and_cost(program: Program) -> None:
    text = print_clusters(program)
    assert "core dot, points [32,5]" in text
    assert f"cost    {32 * 5 * 8 * 2 + 32 * 5 * 15:,} operations" in text
    assert "copy_x_lanes: x in lanes order" in text
    assert print_clusters(program, "tanh").count("cost ") == 1


def test_printing_runs_nothing(program: Program) -> None:
    arrays = [np.ones(shape, np.float32) for shape in SHAPES]
    print_program(program, SHAPES)
    assert all((array == 1).all() for array in arrays)
