"""Layers of every kind with their gradients: compiled steps equal the interpreter's.

The random graphs are exact and small; these have the sizes, the strides and the rounding of real
networks, and batches that do not fill the lanes.
"""

from dataclasses import replace

import numpy as np
import pytest

from codegen import compile_graph, get_num_threads, set_num_threads
from ir import make
from ir.dims import symbol
from ir.graph import Graph
from ir.interpret import interpret
from ir.types import F32, F64, I64, U32, TensorType

RAGGED = (1, 5, 16, 17, 50, 64)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


def weighted(x):
    """A loss that tells all elements apart, and adds nothing that cancels."""
    axes = tuple(range(x.type.rank))
    place = make.flat_index(x.shape, axes, x.dtype)
    weights = make.add(make.mul(make.sin(make.mul(place, 0.7)), 0.5), 1.0)
    return make.sum(make.mul(x, weights), axes)


def step_of(networks, inputs, loss, wrt):
    """The loss, its gradients by the rest, and an SGD update of what is trained."""
    slopes = networks.slopes(loss, wrt)
    outputs, donated = [loss], {}
    for node, slope in zip(wrt, slopes, strict=True):
        if node is not inputs[0]:
            donated[len(outputs)] = inputs.index(node)
            slope = make.sub(node, make.mul(slope, 0.01))
        outputs.append(slope)
    return networks.Step(Graph(tuple(inputs), tuple(outputs)), donated, (0,))


def random_arrays(graph, batch, seed=0):
    rng = np.random.default_rng(seed)
    arrays = []
    for node in graph.inputs:
        shape = tuple(size if isinstance(size, int) else batch for size in node.shape)
        arrays.append(rng.uniform(-1, 1, shape).astype(node.dtype))
    return arrays


CONVOLUTIONS = {
    "plain": {"stride": 1, "padding": 0},
    "padded": {"padding": 1},
    "strided": {"stride": 2, "padding": 1},
    "dilated": {"dilation": 2, "padding": 2},
    "strided and dilated": {"stride": 2, "dilation": 2},
    "grouped": {"groups": 2, "padding": 1},
    "depthwise, strided": {"groups": 4, "stride": 2, "padding": 1},
    "wide padding": {"padding": 2, "stride": 3},
}


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolution_and_its_gradients(networks, assert_compiled, kind, dtype):
    options = CONVOLUTIONS[kind]
    for batch, as_batch in ((5, (0,)), (17, (0,)), (3, ())):
        x = networks.input_node("x", (batch, 4, 9, 11), dtype)
        weight = networks.input_node("w", (6 * 2, 4 // options.get("groups", 1), 3, 3), dtype)
        bias = networks.input_node("b", (12,), dtype)
        y = networks.convolution(x, weight, bias, **options)
        step = step_of(networks, [x, weight, bias], weighted(networks.relu(y)), [x, weight, bias])
        arrays = random_arrays(step.graph, batch)
        assert_compiled(step.graph, arrays, step.donated, as_batch)


@pytest.mark.parametrize("batch", [2, 16, 21])
def test_kernels_too_wide_to_unroll(networks, assert_compiled, batch):
    """Loops over a wide kernel are cut to what the padding leaves."""
    x = networks.input_node("x", (batch, 2, 13, 20))
    weight = networks.input_node("w", (3, 2, 9, 11))
    y = networks.relu(networks.convolution(x, weight, padding=4))
    step = step_of(networks, [x, weight], weighted(y), [x, weight])
    for as_batch in ((0,), ()):
        assert_compiled(step.graph, random_arrays(step.graph, batch), step.donated, as_batch)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling_and_its_gradient(networks, assert_compiled, kind, size, stride):
    pool = networks.max_pool if kind == "max" else networks.average_pool
    for batch, as_batch in ((17, (0,)), (2, ())):
        x = networks.input_node("x", (batch, 3, 10, 9))
        weight = networks.input_node("w", (5, 3, 3, 3))
        h = networks.relu(networks.convolution(x, weight, padding=1))
        step = step_of(networks, [x, weight], weighted(pool(h, size, stride)), [x, weight])
        assert_compiled(step.graph, random_arrays(step.graph, batch), step.donated, as_batch)


def normalised(x, gain, shift):
    """Batch norm over all but the channels, as a chain of small ops."""
    axes, count = (0, 2, 3), make.size(x.shape[0] * x.shape[2] * x.shape[3], x.dtype)

    def spread(value):
        return make.broadcast(value, x.shape, (1,))

    every = make.broadcast(count, (x.shape[1],), ())
    mean = make.div(make.sum(x, axes), every)
    centred = make.sub(x, spread(mean))
    variance = make.div(make.sum(make.mul(centred, centred), axes), every)
    unit = make.div(centred, spread(make.apply("sqrt", make.add(variance, 1e-5))))
    return make.add(make.mul(unit, spread(gain)), spread(shift)), mean, variance


@pytest.mark.parametrize("batch", [1, 5, 17, 64])
def test_batch_norm_with_running_statistics(networks, assert_compiled, batch):
    x = networks.input_node("x", (batch, 4, 6, 5))
    weight = networks.input_node("w", (8, 4, 3, 3))
    gain, shift, running = (networks.input_node(name, (8,)) for name in ("g", "s", "running"))
    y, mean, _ = normalised(networks.convolution(x, weight), gain, shift)
    inputs = [x, weight, gain, shift, running]
    step = step_of(networks, inputs, weighted(networks.relu(y)), inputs[:-1])
    moved = make.add(make.mul(running, 0.9), make.mul(mean, 0.1))
    graph = replace(step.graph, outputs=(*step.graph.outputs, moved), _order=[])
    donated = {**step.donated, len(step.graph.outputs): 4}
    assert_compiled(graph, random_arrays(graph, batch), donated, (0,), ulps=1024)


def test_dropout_draws_the_same_numbers_forward_and_backward(networks, assert_compiled):
    x = networks.input_node("x", (17, 12))
    key = networks.input_node("key", (2,), U32)
    weight = networks.input_node("w", (20, 12))
    h = make.dot(x, weight, ((1,), (1,)))
    bits = make.random_bits(key, h.shape)
    kept = make.lt(bits, make.full(2**31, U32, h.shape))
    h = make.select(kept, make.mul(h, 2.0), make.full_like(h, 0.0))
    step = step_of(networks, [x, key, weight], weighted(h), [x, weight])
    arrays = random_arrays(step.graph, 17)
    arrays[1] = np.array([7, 2**32 - 1], np.uint32)
    next_key = make.add(key, make.iota((2,), 0, U32))
    graph = replace(step.graph, outputs=(*step.graph.outputs, kept, next_key), _order=[])
    assert_compiled(graph, arrays, {**step.donated, 4: 1}, (0,))


@pytest.mark.parametrize("batch", RAGGED)
def test_lenet_step(networks, assert_close, batch):
    """Five steps, so that state written in place is read again."""
    step = networks.lenet(batch)
    arrays = step.arrays(batch)
    program = compile_graph(step.graph, step.donated, step.batch_inputs)
    follow(step, program, arrays, [array.copy() for array in arrays], assert_close)


def follow(step, program, arrays, state, assert_close, rounds=3):
    """Run program and interpreter side by side; each goes on from the interpreter's state."""
    for _ in range(rounds):
        wanted = interpret(step.graph, arrays)
        found = program.run(state)
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other, ulps=512)
        for out, into in step.donated.items():
            arrays[into] = wanted[out].copy()
            np.copyto(state[into], wanted[out])


def test_one_lenet_for_every_batch_size(networks, assert_close):
    step = networks.lenet(symbol("N"))
    program = compile_graph(step.graph, step.donated, step.batch_inputs)
    for batch in (*RAGGED, 3, 64):
        arrays = step.arrays(batch, seed=batch)
        follow(step, program, arrays, [array.copy() for array in arrays], assert_close, rounds=1)


@pytest.mark.parametrize("batch", [5, symbol("N")], ids=str)
def test_mlp_with_adam(networks, assert_close, batch):
    step = networks.mlp(batch, (33, 20, 17, 10))
    program = compile_graph(step.graph, step.donated, step.batch_inputs)
    for count in (5,) if batch == 5 else (1, 5, 17, 64):
        arrays = step.arrays(count)
        follow(step, program, arrays, [array.copy() for array in arrays], assert_close)


@pytest.mark.parametrize("batch", [16, 50, 64])
def test_number_of_threads_changes_no_bit(networks, batch):
    for step in (networks.lenet(batch), networks.mlp(batch, (100, 64, 40, 10))):
        program = compile_graph(step.graph, step.donated, step.batch_inputs)
        arrays = step.arrays(batch)
        seen = set()
        for threads in (1, 2, 3, 4, 2):
            set_num_threads(threads)
            state = [array.copy() for array in arrays]
            for _ in range(3):
                found = program.run(state)
            seen.add(b"".join(array.tobytes() for array in found))
        assert len(seen) == 1


def test_labels_out_of_range_pick_nothing(networks, assert_compiled):
    z = make.input_node(TensorType(F32, (17, 10)), "z")
    label = make.input_node(TensorType(I64, (17,)), "y")
    loss = networks.cross_entropy(z, label)
    graph = Graph((z, label), (loss, *networks.slopes(loss, [z])))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 17)
    labels[[0, 5]] = (-100, 2**40)
    arrays = [rng.standard_normal((17, 10)).astype(np.float32), labels]
    assert_compiled(graph, arrays, batch_inputs=(0, 1))
