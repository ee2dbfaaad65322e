"""Views of views in, the right elements out: guards, divisions and reshapes that went wrong."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.lower import _cuts
from ir import make
from ir.dims import symbol
from ir.errors import UnsupportedError
from ir.graph import Graph
from ir.types import F32, TensorType

N = symbol("N")


def numbers(*shape):
    return np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)


def node(*shape, name="x"):
    return make.input_node(TensorType(F32, shape), name)


def test_a_sum_goes_on_where_padding_has_a_value(assert_compiled):
    """A loop may be cut to where a guard holds only if nothing is added elsewhere."""
    x = node(1, 5)
    inner = make.pad(x, (0, 0), (0, 0), (1, 0), 1.0)
    outer = make.pad(make.pad(inner, (9, 1), (9, 0), value=-1.0), (2, 0), (0, 0), value=3.0)
    graph = Graph((x,), (make.sum(outer, (0,)), make.max(outer, (0, 1)), make.sum(outer, (0, 1))))
    assert_compiled(graph, [numbers(1, 5)], exact=True)


def test_a_sum_sees_every_part_of_a_concatenation(assert_compiled):
    x, y = node(1, 20), node(12, 20, name="y")
    joined = make.concatenate([x, x, y], 0)
    graph = Graph((x, y), (make.sum(joined, (0, 1)), make.sum(joined, (0,))))
    assert_compiled(graph, [numbers(1, 20), numbers(12, 20)], exact=True)


@pytest.mark.parametrize("batched", [False, True])
def test_flips_before_and_after_a_reshape(assert_compiled, batched):
    """Positions that count down are divided rounding down."""
    x = node(17, 4, 6)
    y = make.flip(make.reshape(make.flip(x, (1, 2)), (17, 3, 8)), (1, 2))
    z = make.reshape(make.slice(make.flip(y, (2,)), (0, 0, 1), (17, 3, 8), (1, 1, 3)), (17, 9))
    spread = make.pad(z, (0, 1), (0, 2), (0, 1))
    graph = Graph((x,), (y, make.reshape(spread, (17, 4, 5)), make.sum(spread, (1,))))
    assert_compiled(graph, [numbers(17, 4, 6)], batch_inputs=(0,) if batched else (), exact=True)


def test_reshapes_leave_equal_dimensions_alone(assert_compiled):
    """A symbolic size that is neither merged nor split is never divided by."""
    x = node(N, 1, 9, 7)
    y = make.reshape(make.transpose(x, (3, 1, 2, 0)), (7, 1, 3, 3, N))
    graph = Graph((x,), (y, make.sum(y, (0, 1, 2, 3))))
    program = assert_compiled(graph, [numbers(50, 1, 9, 7)], batch_inputs=(0,), exact=True)
    (wide, _) = program.run([numbers(3, 1, 9, 7)])
    assert wide.shape == (7, 1, 3, 3, 3)


def test_a_symbolic_size_merged_from_the_left_is_refused():
    x = node(N, 4)
    merged = make.reshape(make.transpose(x, (1, 0)), (4 * N,))
    with pytest.raises(UnsupportedError, match="divides by the symbolic size N"):
        compile_graph(Graph((x,), (make.exp(merged),)))


@pytest.mark.parametrize(
    ("old", "new", "cuts"),
    [
        ((4, 6), (4, 2, 3), [(1, 1), (2, 3)]),
        ((4, 6), (24,), [(2, 1)]),
        ((2, 12, 5), (4, 6, 5), [(2, 2), (3, 3)]),
        ((N, 6), (N, 2, 3), [(1, 1), (2, 3)]),
        ((3, 4, N), (12, N), [(2, 1), (3, 2)]),
        ((1, 1), (), [(2, 0)]),
        ((), (1, 1), [(0, 2)]),
    ],
)
def test_cuts(old, new, cuts):
    assert _cuts(old, new) == cuts


def test_empty_axes_are_reshaped():
    x = node(0, 3)
    outputs = (make.reshape(x, (3, 0)), make.sum(make.reshape(x, (0, 1, 3)), (0, 1)))
    found = compile_graph(Graph((x,), outputs)).run([numbers(0, 3)])
    assert [array.shape for array in found] == [(3, 0), (3,)]
    assert not found[1].any()
