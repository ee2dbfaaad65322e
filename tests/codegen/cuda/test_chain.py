"""Nests of an attention in, one chain out; and what keeps them apart."""

from codegen.cuda.attention import Attention
from codegen.cuda.chain import Chain
from codegen.cuda.plan import plan_cuda
from codegen.cuda.ways import way_of
from ir import make
from ir.graph import Graph
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


def test_an_attention_is_one_kernel():
    inputs, _, out = attention()
    (nest,) = nests(inputs, out)
    assert isinstance(nest, Chain)
    assert {buffer.name for buffer in nest.buffers} == {"q", "k", "v", nest.roots[0].buffer.name}
    way = way_of(nest)
    assert isinstance(way, Attention)
    assert way.tile.rows == 32


def test_longer_rows_are_for_fewer_queries():
    inputs, _, out = attention(keys=512)
    (nest,) = nests(inputs, out)
    assert way_of(nest).tile.rows == 16


def test_weights_that_someone_else_reads_stay_in_memory():
    inputs, weights, out = attention()
    assert not any(isinstance(nest, Chain) for nest in nests(inputs, out, weights))


def test_scores_that_no_block_can_hold_stay_in_memory():
    inputs, _, out = attention(keys=2048)
    assert not any(isinstance(nest, Chain) for nest in nests(inputs, out))
