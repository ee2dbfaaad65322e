"""Convolutions by Winograd's algorithm: what is rewritten, that it means the same, how it runs."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.compile import plan_kernels
from codegen.driver import get_num_threads, set_num_threads
from codegen.winograd import with_winograd
from ir import make
from ir.dims import symbol
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import run_passes
from ir.types import F32, F64, TensorType
from ir.verify import verify


def step(n, channels, results, image, size, stride=1, padding=0, spread=False, dtype=F32):
    """A convolution (or a transposed one) with relu, and the gradients of image and weight."""
    x = make.input_node(TensorType(dtype, (n, channels, *image)), "x")
    taps = (channels, results) if spread else (results, channels)
    w = make.input_node(TensorType(dtype, (*taps, size, size)), "w")
    y = _spread(x, w, size, stride, padding) if spread else _conv(x, w, size, stride, padding)
    y = make.apply("relu", y)
    loss = make.sum(make.mul(y, y), tuple(range(4)))
    return run_passes(Graph((x, w), (y, *gradient(loss, [x, w]))))


def _conv(x, w, size, stride, padding):
    edge = (0, 0, padding, padding)
    windows = make.window(make.pad(x, edge, edge), (2, 3), (size,) * 2, (stride,) * 2, (1, 1))
    return make.transpose(make.dot(windows, w, ((1, 4, 5), (1, 2, 3))), (0, 3, 1, 2))


def _spread(x, w, size, stride, padding):
    parts = make.transpose(make.dot(x, w, ((1,), (0,))), (0, 3, 1, 2, 4, 5))
    extent = [(s - 1) * stride + size for s in x.shape[2:]]
    y = make.fold(parts, (2, 3), (size,) * 2, (stride,) * 2, (1, 1), extent)
    stop = (*y.shape[:2], *(e - padding for e in extent))
    return make.slice(y, (0, 0, padding, padding), stop, (1,) * 4)


def line_step(n, channels, results, length, size, padding=0):
    """The same of lines."""
    x = make.input_node(TensorType(F32, (n, channels, length)), "x")
    w = make.input_node(TensorType(F32, (results, channels, size)), "w")
    edge = (0, 0, padding)
    windows = make.window(make.pad(x, edge, edge), (2,), (size,), (1,), (1,))
    y = make.transpose(make.dot(windows, w, ((1, 3), (1, 2))), (0, 2, 1))
    y = make.apply("relu", y)
    loss = make.sum(make.mul(y, y), (0, 1, 2))
    return run_passes(Graph((x, w), (y, *gradient(loss, [x, w]))))


def arrays_for(graph, n):
    rng = np.random.default_rng(0)
    shapes = [[n if not isinstance(s, int) else s for s in node.shape] for node in graph.inputs]
    scales = (1.0, 1 / np.sqrt(np.prod(shapes[1][1:])))
    return [
        (rng.normal(size=shape) * scale).astype(node.dtype)
        for shape, scale, node in zip(shapes, scales, graph.inputs, strict=True)
    ]


def assert_close(found, wanted, bound=2e-5):
    for got, want in zip(found, wanted, strict=True):
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= bound * np.abs(want).max()


def mixes(graph):
    return sum(node.op.name == "mix" for node in graph.nodes)


SHAPES = {
    "whole tiles": step(16, 16, 16, (8, 8), 3, padding=1),
    "ragged tiles": step(16, 16, 20, (10, 7), 3, padding=1),
    "no padding": step(16, 16, 16, (14, 6), 3),
    "a ragged batch": step(19, 16, 16, (8, 8), 3, padding=1),
    "two taps": step(16, 32, 32, (9, 9), 2),
    "strides": step(16, 16, 32, (16, 8), 4, 2, padding=1),
    "spread out": step(16, 32, 16, (8, 4), 4, 2, padding=1, spread=True),
    "spread out densely": step(16, 16, 16, (8, 8), 3, 1, padding=1, spread=True),
}
ALONG = {
    "five taps": step(16, 6, 16, (14, 14), 5),
    "along rows": step(16, 8, 16, (14, 11), 5, padding=2),
    "along columns": step(16, 8, 16, (11, 14), 5, padding=1),
    "four taps": step(16, 16, 16, (12, 9), 4),
    "six taps": step(19, 16, 8, (11, 12), 6),
    "seven taps": step(16, 8, 16, (9, 12), 7, padding=3),
    "five taps spread out": step(16, 16, 8, (10, 8), 5, padding=2, spread=True),
}
ALONG["three taps of lines"] = line_step(16, 32, 24, 30, 3, 1)
ALONG["five taps of lines"] = line_step(19, 16, 32, 37, 5)
ALL = {**SHAPES, **ALONG}


@pytest.mark.parametrize("name", ALL)
def test_it_means_the_same(name):
    graph = ALL[name]
    found = with_winograd(graph)
    verify(found, "with_winograd")
    assert mixes(found) >= (9 if name in SHAPES else 7), "all three convolutions"
    arrays = arrays_for(graph, 0)
    assert_close(interpret(found, arrays), interpret(graph, arrays))


@pytest.mark.parametrize("name", ALL)
def test_kernels_mean_the_same(name):
    graph = ALL[name]
    arrays = arrays_for(graph, 0)
    program = compile_graph(graph, batch_inputs=(0,))
    assert_close(program.run(arrays), interpret(graph, arrays))


@pytest.mark.parametrize("seed", range(14))
def test_shapes_that_nobody_chose(seed):
    rng = np.random.default_rng(seed)
    size, stride = ((3, 1), (2, 1), (4, 2), (3, 2), (5, 1), (4, 1), (7, 1))[seed % 7]
    spread, padding = bool(seed % 2), int(rng.integers(0, 2))
    channels, results = (int(rng.choice([8, 16, 24, 32])) for _ in range(2))
    image = tuple(int(rng.integers(size + 2, 16)) for _ in range(2))
    graph = step(
        int(rng.choice([8, 16, 21, 32])), channels, results, image, size, stride, padding, spread
    )
    arrays = arrays_for(graph, 0)
    found = compile_graph(graph, batch_inputs=(0,)).run(arrays)
    assert_close(found, interpret(graph, arrays))


@pytest.mark.parametrize(
    "graph",
    [
        step(symbol("N"), 16, 16, (8, 8), 3, padding=1),
        step(symbol("N"), 16, 16, (8, 8), 5, padding=1),
        line_step(symbol("N"), 32, 32, 20, 5),
    ],
)
def test_a_batch_of_any_size(graph):
    assert mixes(with_winograd(graph)) >= 7
    program = compile_graph(graph, batch_inputs=(0,))
    for n in (1, 16, 35):
        arrays = arrays_for(graph, n)
        assert_close(program.run(arrays), interpret(graph, arrays))


@pytest.mark.parametrize(
    "graph",
    [
        step(16, 3, 16, (8, 8), 3),  # few channels: making tiles costs more than it saves
        step(4, 32, 32, (8, 8), 3),  # few images: no lanes
        step(16, 32, 32, (8, 8), 3, dtype=F64),  # asked for precision
        step(16, 32, 32, (9, 9), 3, 2),  # taps of the phases differ
        step(16, 1, 6, (28, 28), 5),  # one channel: the same
        step(16, 32, 32, (9, 9), 8),
        line_step(16, 4, 4, 30, 3, 1),
    ],
)
def test_what_stays_a_direct_sum(graph):
    assert with_winograd(graph) is graph or mixes(with_winograd(graph)) == 0


def test_tiles_along_an_axis_are_made_once():
    """The taps' gradient reads the tiles of the convolution and of the image's gradient."""
    graph = with_winograd(ALONG["five taps"])
    dots = [node for node in graph.nodes if node.op.name == "dot"]
    assert len(dots) == 3
    tiles = [source for dot in dots for source in dot.inputs if source.type.rank >= 5]
    assert len(tiles) == 4
    assert len(set(tiles)) == 2, "of the images, and of the result's gradient"


def test_exact_precision_sums_directly():
    graph = SHAPES["whole tiles"]
    exact = compile_graph(graph, batch_inputs=(0,), precision="exact")
    fast = compile_graph(graph, batch_inputs=(0,))
    assert len(exact.plans) < len(fast.plans)
    arrays = arrays_for(graph, 0)
    wanted = interpret(graph, arrays)
    assert_close(exact.run(arrays), wanted, 1e-6)
    with pytest.raises(AssertionError):
        assert_close(fast.run(arrays), wanted, 1e-7)


def test_chains_take_turns_in_strips():
    graph = step(32, 32, 32, (32, 32), 3, padding=1)
    kernels, plans = plan_kernels(graph, {}, (0,))
    assert len(kernels.groups) == 2  # the convolution, and the gradient of its input
    for first, count in kernels.groups:
        turns = plans[first : first + count]
        assert [plan.strips for plan in turns] == [16] * 3
        between = {root.buffer for plan in turns[:2] for root in plan.nest.roots}
        assert all(buffer.strips for buffer in between)
        assert all(np.prod(buffer.room) / buffer.room[buffer.batch] < 5000 for buffer in between)


def test_threads_do_not_change_the_result():
    graph = step(48, 16, 16, (16, 16), 3, padding=1)
    arrays, before = arrays_for(graph, 0), get_num_threads()
    program = compile_graph(graph, batch_inputs=(0,))
    found = []
    try:
        for threads in (1, 2, 4):
            set_num_threads(threads)
            found.append([value.copy() for value in program.run(arrays)])
    finally:
        set_num_threads(before)
    for other in found[1:]:
        for got, want in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(got, want)


def test_tiles_of_what_is_cheap_are_made_without_a_rim():
    """relu(scale * y) costs less than a padded copy of it: no kernel stores one."""
    x = make.input_node(TensorType(F32, (32, 16, 16, 16)), "x")
    taps = [make.input_node(TensorType(F32, (16, 16, 3, 3)), name) for name in "vw"]
    scale = make.input_node(TensorType(F32, (16,)), "scale")
    y = _conv(x, taps[0], 3, 1, 1)
    z = make.apply("relu", make.mul(y, make.broadcast(scale, y.shape, (1,))))
    out = _conv(z, taps[1], 3, 1, 1)
    loss = make.sum(make.mul(out, out), tuple(range(4)))
    inputs = (x, *taps, scale)
    graph = run_passes(Graph(inputs, (loss, *gradient(loss, inputs))))
    program = compile_graph(graph, batch_inputs=(0,))
    rims = [root.buffer for plan in program.plans for root in plan.nest.roots]
    padded = {b.name for b in rims if b.shape == (32, 16, 18, 18)}
    assert len(padded) == 2, "of x, and of the gradient that asks two arrays; not of z"
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n.shape).astype(np.float32) / 4 for n in inputs]
    for got, want in zip(program.run(arrays), interpret(graph, arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
