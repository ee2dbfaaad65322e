"""Whole training steps in, the decisions about kernels, memory and waiting out.

These are the facts that speed rests on. A change that improves them changes the numbers here; one
that loses them has to say why.
"""

import numpy as np
import pytest

from codegen import compile_graph, memory
from codegen.arena import size_in_bytes
from codegen.fuse import fuse
from codegen.nest import Load, walk
from ir import make
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import BOOL, F32, TensorType


@pytest.fixture(scope="module")
def lenet(networks):
    """Its convolutions are direct sums."""
    step = networks.lenet(64)
    return compile_graph(step.graph, step.donated, step.batch_inputs, precision="exact")


@pytest.fixture(scope="module")
def lenet_by_tiles(networks):
    step = networks.lenet(64)
    return compile_graph(step.graph, step.donated, step.batch_inputs)


@pytest.fixture(scope="module")
def mlp(networks):
    step = networks.mlp(128)
    return compile_graph(step.graph, step.donated, step.batch_inputs)


def kernels(program):
    """The kernels that compute; copies between layouts apart."""
    return [nest for nest in program.kernels.nests if not nest.name.startswith("copy_")]


def writing(program, name):
    """The one kernel that stores into a buffer."""
    (found,) = [n for n in kernels(program) if name in {r.buffer.name for r in n.roots}]
    return found


def reads(nest):
    return {load.buffer.name for load in nest.loads}


def fused(nest):
    """The ops of a kernel, as its comment lists them."""
    return {part.split(" x")[0] for part in nest.comment.split("fused: ")[1].split(", ")}


def test_lenet_step_takes_few_kernels(lenet):
    assert len(kernels(lenet)) <= 29
    assert len(lenet.kernels.nests) <= 33


def test_tiles_take_few_kernels_more(lenet_by_tiles):
    """Of the second convolution: tiles, points and products of all three, for three kernels."""
    assert len(kernels(lenet_by_tiles)) <= 33
    assert sum(lenet_by_tiles.barriers({})) <= 8


def test_mlp_step_takes_few_kernels(mlp):
    assert len(kernels(mlp)) <= 20
    assert len(mlp.kernels.nests) <= 23


def test_convolution_bias_relu_and_pool_are_one_kernel(lenet):
    for at, name in enumerate(("conv1", "conv2")):
        nest = kernels(lenet)[at]
        assert {"dot", "add", "relu", "max"} <= fused(nest)
        assert {f"{name}_weight", f"{name}_bias"} <= reads(nest)


def test_activations_before_the_pool_are_never_stored(lenet):
    """Only their gradients have that many elements; what is stored of the forward is pooled."""
    forward = kernels(lenet)[:2]
    stored = [root.buffer for nest in forward for root in nest.roots]
    assert {buffer.shape[1:] for buffer in stored} == {(6, 14, 14), (16, 5, 5)}


@pytest.mark.parametrize("name", ["conv1", "conv2", "fc1", "fc2", "fc3"])
@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_momentum_update_lives_in_the_gradient_kernel(lenet, name, kind):
    nest = writing(lenet, f"{name}_{kind}")
    assert {root.buffer.name for root in nest.roots} == {f"{name}_{kind}", f"v_{name}_{kind}"}
    assert {"mul", "sub", "dot" if kind == "weight" else "sum"} <= fused(nest)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_adam_update_lives_in_the_gradient_kernel(mlp, at):
    nest = writing(mlp, f"m{at}")
    weight = f"fc{at // 2 + 1}_weight"
    assert {root.buffer.name for root in nest.roots} == {weight, f"m{at}", f"v{at}"}
    assert {"dot", "sqrt", "div"} <= fused(nest)


def test_state_is_written_in_place(lenet, mlp):
    assert not lenet.kernels.copies
    assert not mlp.kernels.copies


@pytest.mark.parametrize("which", ["lenet", "mlp"])
def test_memory_plan_is_free_of_overlap_and_smaller_than_its_parts(networks, request, which):
    program = request.getfixturevalue(which)
    step, batch = (networks.lenet(64), 64) if which == "lenet" else (networks.mlp(128), 128)
    plan = program.memory_plan(step.arrays(batch))
    waits = program.barriers({})
    outside = {*program.kernels.inputs, *program.kernels.outputs}
    spans, phase = {}, 0
    for schedule, wait in zip(program.plans, waits, strict=True):
        phase += wait
        for buffer in schedule.nest.buffers:
            if buffer not in outside:
                spans.setdefault(buffer, [phase, phase])[1] = phase
    intervals = [
        memory.Interval(buffer.name, size_in_bytes(buffer, {}), *span)
        for buffer, span in spans.items()
    ]
    memory.check(plan, intervals)
    assert set(plan.offsets) == {buffer.name for buffer in spans}
    assert plan.total < sum(interval.size for interval in intervals)


def test_threads_wait_only_between_batches_and_weights(lenet, mlp):
    """Kernels that keep to their own rows run on without a barrier."""
    for program, most in ((lenet, 5), (mlp, 4)):
        waits = program.barriers({})
        assert not waits[0]
        assert sum(waits) <= most
    names = [nest.name for nest in lenet.kernels.nests]
    first_wait = lenet.barriers({}).index(True)
    assert all("sum_mul" in name or "dot_add_mul_sub" in name for name in names[first_wait:][:1])


def test_forward_kernels_of_lenet_need_no_barrier(lenet):
    for nest, wait in zip(lenet.kernels.nests[:6], lenet.barriers({}), strict=False):
        assert not wait, nest.name


def test_every_stored_value_is_read_or_handed_out(lenet, mlp):
    for program in (lenet, mlp):
        used = set(program.kernels.outputs)
        for nest in program.kernels.nests:
            used |= {e.buffer for e in walk([r.value for r in nest.roots]) if isinstance(e, Load)}
        for nest in program.kernels.nests:
            assert {root.buffer for root in nest.roots} <= used, nest.name


def test_a_chain_of_elementwise_ops_is_one_kernel(networks):
    x = networks.input_node("x", (64, 32))
    y = make.exp(make.neg(make.mul(networks.relu(x), x)))
    program = compile_graph(Graph((x,), (make.add(y, x),)))
    assert len(program.kernels.nests) == 1


def test_two_outputs_of_one_chain_share_a_kernel(networks):
    x = networks.input_node("x", (64, 32))
    y = make.exp(x)
    program = compile_graph(Graph((x,), (y, make.neg(y))))
    assert len(program.kernels.nests) == 1


def test_maximum_and_its_position_share_a_pass(networks):
    x = networks.input_node("x", (64, 32))
    program = compile_graph(Graph((x,), (make.max(x, (1,)), make.argmax(x, (1,)))))
    assert len(program.kernels.nests) == 1


def test_costly_values_are_computed_once(networks):
    """What a product reads many times is stored; what is cheap to redo is not."""
    x, w = networks.input_node("x", (64, 32)), networks.input_node("w", (48, 32))
    costly = run_passes(Graph((x, w), (make.dot(make.exp(x), w, ((1,), (1,))),)))
    assert len(fuse(costly).clusters) == 2


def test_reasons_are_given(networks):
    fusion = fuse(run_passes(networks.lenet(64).graph))
    assert all(cluster.reason for cluster in fusion.clusters)


def test_readers_compute_a_cheap_epilogue():
    """A layer norm's backward pass: the product is stored, not its products with this and that."""
    g, w = (
        make.input_node(TensorType(F32, shape), n)
        for n, shape in (("g", (64, 32)), ("w", (32, 48)))
    )
    y, s = (
        make.input_node(TensorType(F32, shape), n) for n, shape in (("y", (64, 48)), ("s", (48,)))
    )
    d = make.dot(g, w, ((1,), (0,)))
    scaled = make.mul(d, make.broadcast(s, d.shape, (1,)))
    sums = (make.sum(scaled, (1,)), make.sum(make.mul(scaled, y), (1,)), make.sum(d, (0,)))
    fusion = fuse(Graph((g, w, y, s), sums), rows=True)
    assert [fusion.stored(c) for c in fusion.clusters if d in c.members] == [[d]]
    assert len(fusion.clusters) == 3  # the product, both sums along its rows, the sum down them


def test_a_mask_of_inputs_joins_the_scores():
    """It is placed before them, though it comes later in the graph."""
    q, k = (make.input_node(TensorType(F32, (64, 32)), name) for name in "qk")
    hidden = make.input_node(TensorType(BOOL, (64, 64)), "hidden")
    scores = make.dot(q, k, ((1,), (1,)))
    mask = make.select(hidden, make.full(-1e9, F32, (64, 64)), make.full(0.0, F32, (64, 64)))
    twice = make.exp(mask)
    graph = Graph((q, k, hidden), (make.add(scores, mask), twice))
    fusion = fuse(graph)
    assert fusion.member[graph.outputs[0]] == fusion.member[scores]


@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_of_a_whole_are_stored_where_they_belong(assert_compiled, axis):
    """The gradients of an LSTM's gates: four arrays, padded and added, of which a product reads."""
    a, b = (make.input_node(TensorType(F32, (6, 20)), name) for name in "ab")
    parts = [make.mul(a, b), make.exp(a), make.sub(a, b)]
    size = (6, 20)[axis]
    padded = []
    for at, part in enumerate(parts):
        low, high = [0, 0], [0, 0]
        low[axis], high[axis] = at * size, (2 - at) * size
        padded.append(make.pad(part, low, high))
    whole = make.add(make.add(padded[0], padded[1]), padded[2])
    w = make.input_node(TensorType(F32, (whole.shape[1], 8)), "w")
    graph = Graph((a, b, w), (make.dot(whole, w, ((1,), (0,))),))
    fusion = fuse(graph)
    assert [fusion.stored(c) for c in fusion.clusters] == [[whole], [graph.outputs[0]]]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs]
    assert_compiled(graph, arrays)
    assert_compiled(graph, arrays, batch_inputs=(0, 1))
