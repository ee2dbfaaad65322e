"""Nests of an attention in, few kernels out; and what keeps them apart."""

import pytest

import engine
from codegen.cuda.attention import AttentionNest, Backward, Forward
from codegen.cuda.attention_body import Attention
from codegen.cuda.blocks import BLOCKS, TINY, room_of
from codegen.cuda.plan import plan_cuda
from codegen.cuda.tile import SHARED
from codegen.cuda.ways import way_of
from engine.nn import functional as F
from ir import make
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import F32, TensorType


def node(name, *shape):
    return make.input_node(TensorType(F32, shape), name)


def softmax(x):
    axis = x.type.rank - 1
    kept = tuple(range(axis))
    powers = make.exp(make.sub(x, make.broadcast(make.max(x, (axis,)), x.shape, kept)))
    return make.div(powers, make.broadcast(make.sum(powers, (axis,)), x.shape, kept))


def attention(keys=64, width=32):
    q, k, v = node("q", 2, 4, 64, width), node("k", 2, 4, keys, width), node("v", 2, 4, keys, width)
    scores = make.dot(q, k, ((3,), (3,)), ((0, 1), (0, 1)))
    weights = softmax(scores)
    return (q, k, v), weights, make.dot(weights, v, ((3,), (2,)), ((0, 1), (0, 1)))


def nests(inputs, *outputs):
    return plan_cuda(Graph(inputs, outputs), {}).nests


def trained(*sizes, **options):
    """The nests of an attention and its gradients: [batch, heads, queries, keys, width]."""
    batch, heads, queries, keys, width = sizes

    @engine.jit
    def step(q, k, v, g):
        out = F.scaled_dot_product_attention(q, k, v, **options)
        (out * g).sum().backward()
        return out, q.grad, k.grad, v.grad

    shapes = [(batch, heads, n, width) for n in (queries, keys, keys, queries)]
    tensors = [engine.zeros(*shape) for shape in shapes]
    for tensor in tensors[:3]:
        tensor.requires_grad_(True)
    draft = step.draft(*tensors)
    return plan_cuda(run_passes(draft.graph), draft.donated).nests


@pytest.mark.parametrize("keys", [64, 640, 5000])
def test_an_attention_is_one_kernel(keys):
    inputs, _, out = attention(keys)
    (nest,) = nests(inputs, out)
    assert isinstance(nest, AttentionNest)
    assert isinstance(nest.work, Forward)
    assert {buffer.name for buffer in nest.buffers} == {"q", "k", "v", nest.roots[0].buffer.name}
    way = way_of(nest)
    assert isinstance(way, Attention)
    assert way.blocks.rows == 16  # of which there are 32 blocks


def test_shares_of_scores_in_another_shape_stay_apart():
    """A network's last product [sentences, places, words], the shares of all places' words, and
    the mean word of each."""
    x, w, words = node("x", 4, 16, 32), node("w", 32, 24), node("words", 24, 8)
    scores = make.reshape(make.dot(x, w, ((2,), (0,))), (64, 24))
    found = nests((x, w, words), make.dot(softmax(scores), words, ((1,), (0,))))
    assert not any(isinstance(nest, AttentionNest) for nest in found)


def test_weights_that_someone_else_reads_stay_in_memory():
    inputs, weights, out = attention()
    assert not any(isinstance(nest, AttentionNest) for nest in nests(inputs, out, weights))


def test_a_training_step_stores_no_scores():
    """Forward, the rows' levels, gradients of queries, gradients of keys and values."""
    found = trained(2, 4, 300, 700, 16, is_causal=True)
    joined = [nest for nest in found if isinstance(nest, AttentionNest)]
    assert [type(nest.work) for nest in joined] == [Forward, Backward, Backward]
    assert [len(nest.work.parts) for nest in joined] == [1, 1, 2]
    made = {root.buffer for nest in found for root in nest.roots}
    assert not any(buffer.shape[-2:] == (300, 700) for buffer in made)
    (rows,) = {b.shape for b in made if b.name.endswith((".peak", ".total", ".level"))}
    assert rows == (2, 4, 300)


def test_dropout_keeps_its_truth_values_alone():
    found = trained(2, 4, 64, 64, 16, dropout_p=0.1)
    assert sum(isinstance(nest, AttentionNest) for nest in found) == 3
    made = {root.buffer for nest in found for root in nest.roots}
    assert {b.dtype.kind for b in made if b.shape[-2:] == (64, 64)} == {"b"}


def test_wide_heads_stay_apart():
    """Operands that no block can hold: scores and weights are matrices in memory."""
    assert not any(isinstance(nest, AttentionNest) for nest in trained(2, 4, 64, 64, 600))


@pytest.mark.parametrize("width", [8, 64, 128, 256])
def test_blocks_fit(width):
    """Shared memory that every block may have; and steps that lie in two places by turns."""
    for nest in trained(2, 4, 64, 64, width):
        if isinstance(nest, AttentionNest):
            way = way_of(nest)
            assert isinstance(way, Attention)
            assert room_of(nest, way.blocks).total * 4 <= SHARED
    for blocks in (*BLOCKS, *TINY):
        assert blocks.columns // blocks.depth % 2 == 0
