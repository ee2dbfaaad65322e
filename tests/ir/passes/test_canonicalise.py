"""One spelling for each meaning: each rule before and after, and the mapping for autodiff."""

import numpy as np
import pytest

from ir import make
from ir.dims import symbol
from ir.graph import Graph, Location, located
from ir.interpret import interpret
from ir.passes import canonicalise, canonicalise_nodes
from ir.types import BOOL, F32, F64, I32, I64, TensorType

N = symbol("N")
X = make.input_node(TensorType(F32, (2, 3)), "x")
Y = make.input_node(TensorType(F32, (4, 3)), "y")
V = make.input_node(TensorType(F32, (3,)), "v")
A = make.input_node(TensorType(F32, (2, 3, 4)), "a")
P = make.input_node(TensorType(F32, (N, 2, 6, 6)), "p")
B = make.input_node(TensorType(F32, (2, 3, 4, 5)), "b")
I = make.input_node(TensorType(I32, (3,)), "i")  # noqa: E741
INPUTS = (X, Y, V, A, B, P, I)


def relu(x):
    return make.apply("relu", x)


def unit(x):
    return make.reshape(x, (*x.shape, 1))


def pool(x, size=2, stride=2):
    return make.max(make.window(x, (2, 3), (size, size), (stride, stride), (1, 1)), (4, 5))


def border(x, value, width=1):
    return make.pad(x, (0, 0, width, width), (0, 0, width, width), value=value)


MAX_POOL = "max[axes=(4, 5)](window[axes=(2, 3) dilation=(1, 1) size=(2, 2) stride=(2, 2)]({}))"
WITH_BORDER = "pad[high=(0, 0, 1, 1) interior=(0, 0, 0, 0) low=(0, 0, 1, 1) value={}](p)"
REWRITTEN = [
    (make.reshape(make.reshape(X, (6,)), (3, 2)), "reshape3x2(x)"),
    (make.reshape(make.reshape(X, (6,)), (2, 3)), "x"),
    (make.transpose(make.transpose(A, (1, 2, 0)), (1, 0, 2)), "transpose[perm=(2, 1, 0)](a)"),
    (make.transpose(make.transpose(X, (1, 0)), (1, 0)), "x"),
    (make.transpose(unit(X), (0, 2, 1)), "reshape2x1x3(x)"),
    (make.transpose(make.broadcast(V, (2, 3), (1,)), (1, 0)), "broadcast[axes=(0,)](v)"),
    (
        make.broadcast(make.broadcast(V, (3, 2), (0,)), (4, 3, 2), (1, 2)),
        "broadcast[axes=(1,)](v)",
    ),
    (make.broadcast(V, (3, 1), (0,)), "reshape3x1(v)"),
    (make.broadcast(unit(V), (3, 5), (0, 1)), "broadcast[axes=(0,)](v)"),
    (
        make.broadcast(make.exp(unit(V)), (3, 5), (0, 1)),
        "broadcast[axes=(0,)](exp(v))",
    ),
    (make.reshape(make.add(unit(V), 2.0), (3,)), "add(v, 2.0)"),
    (make.flip(make.flip(A, (0, 2)), (2,)), "flip[axes=(0,)](a)"),
    (make.flip(make.flip(A, (1,)), (1,)), "a"),
    (make.flip(unit(V), (1,)), "reshape3x1(v)"),
    (
        make.pad(make.pad(V, (1,), (0,)), (2,), (3,)),
        "pad[high=(3,) interior=(0,) low=(3,) value=0.0](v)",
    ),
    (make.cast(make.cast(X, F64), F32), "x"),
    (make.cast(make.cast(I, I64), F32), "cast[dtype=float32](i)"),
    (make.cast(make.cast(I, F64), I32), "i"),
    (make.cast(make.cast(make.eq(X, X), F32), F64), "cast[dtype=float64](eq(x, x))"),
    (make.sum(make.sum(A, (1,)), (0,)), "sum[axes=(0, 1)](a)"),
    (make.max(make.max(A, (2,)), (1,)), "max[axes=(1, 2)](a)"),
    (make.sum(A, (2, 0)), "sum[axes=(0, 2)](a)"),
    (make.apply("sum", A, axes=()), "a"),
    (make.sum(unit(V), (1,)), "v"),
    (make.sum(make.reshape(A, (6, 4)), (0, 1)), "sum[axes=(0, 1, 2)](a)"),
    (make.sum(make.transpose(A, (2, 0, 1)), (0,)), "sum[axes=(2,)](a)"),
    (make.sum(make.transpose(A, (2, 1, 0)), (1,)), "transpose[perm=(1, 0)](sum[axes=(1,)](a))"),
    (
        make.sum(make.transpose(B, (0, 2, 3, 1)), (0,)),
        "transpose[perm=(1, 2, 0)](sum[axes=(0,)](b))",
    ),
    (
        make.dot(make.transpose(X, (1, 0)), Y, ((0,), (1,))),
        "dot[batch=((), ()) contract=((1,), (1,))](x, y)",
    ),
    (
        make.transpose(make.dot(X, Y, ((1,), (1,))), (1, 0)),
        "dot[batch=((), ()) contract=((1,), (1,))](y, x)",
    ),
    (
        make.dot(A, make.transpose(A, (0, 2, 1)), ((2, 1), (1, 2)), ((0,), (0,))),
        "dot[batch=((0,), (0,)) contract=((1, 2), (1, 2))](a, a)",
    ),
    (
        make.dot(make.transpose(A, (2, 1, 0)), X, ((2,), (0,))),
        "transpose[perm=(1, 0, 2)](dot[batch=((), ()) contract=((0,), (0,))](a, x))",
    ),
    (pool(relu(P)), f"relu({MAX_POOL.format('p')})"),
    (pool(border(relu(P), 0.0)), f"relu({MAX_POOL.format(WITH_BORDER.format('0.0'))})"),
    (pool(border(relu(P), -np.inf)), f"relu({MAX_POOL.format(WITH_BORDER.format('-inf'))})"),
    (make.max(relu(X), (1,)), "relu(max[axes=(1,)](x))"),
    (make.exp(make.transpose(A, (1, 0, 2))), "transpose[perm=(1, 0, 2)](exp(a))"),
    (make.add(make.transpose(A, (1, 0, 2)), 2.0), "transpose[perm=(1, 0, 2)](add(a, 2.0))"),
    (
        make.transpose(make.exp(make.transpose(A, (1, 0, 2))), (1, 0, 2)),
        "exp(a)",
    ),
    (make.exp(make.reshape(X, (6,))), "reshape6(exp(x))"),
    (make.mul(make.reshape(X, (6,)), 2.0), "reshape6(mul(x, 2.0))"),
    (
        make.reshape(make.transpose(B, (1, 0, 2, 3)), (3, 2, 20)),
        "transpose[perm=(1, 0, 2)](reshape2x3x20(b))",
    ),
    (
        make.reshape(make.transpose(B, (2, 0, 1, 3)), (4, 2, 15)),
        "transpose[perm=(1, 0, 2)](reshape2x4x15(transpose[perm=(0, 2, 1, 3)](b)))",
    ),
]
KEPT = [
    make.exp(make.transpose(A, (0, 2, 1))),
    make.reshape(make.transpose(A, (0, 2, 1)), (2, 12)),
    make.add(make.reshape(X, (6,)), make.reshape(make.exp(X), (6,))),
    make.argmax(make.window(relu(X), (1,), (2,), (1,), (1,)), (2,)),
    make.apply("min", make.pad(relu(V), (1,), (0,), value=-1.0), axes=(0,)),
    make.max(make.pad(relu(V), (1,), (0,), value=-1.0), (0,)),
    pool(border(relu(P), -1.0, width=2)),
    make.cast(make.cast(X, I64), F32),
    make.cast(make.cast(I, F32), F64),
    make.cast(make.cast(X, F64), I32),
    make.cast(make.cast(X, BOOL), F32),
    make.sum(make.max(A, (1,)), (0,)),
    make.pad(make.pad(V, (1,), (0,), value=1.0), (1,), (0,)),
    make.transpose(A, (2, 0, 1)),
    make.broadcast(make.reshape(X, (6,)), (6, 2), (0,)),
]


@pytest.mark.parametrize(
    ("before", "after"), REWRITTEN, ids=[f"{at}" for at, _ in enumerate(REWRITTEN)]
)
def test_rewritten(spell, before, after):
    new = canonicalise_nodes([before])
    assert spell(new[before]) == after
    assert new[before].type == before.type


@pytest.mark.parametrize("node", KEPT, ids=[repr(node) for node in KEPT])
def test_kept(node):
    graph = Graph(INPUTS, (node,))
    assert canonicalise(graph) is graph
    assert all(new is old for old, new in canonicalise_nodes([node]).items())


def test_relu_below_max_pooling_keeps_every_value():
    x = make.input_node(TensorType(F32, (2, 3, 6, 6)), "x")
    before = Graph((x,), (pool(relu(x)), pool(border(relu(x), -np.inf))))
    after = canonicalise(before)
    assert [node.op.name for node in after.outputs] == ["relu", "relu"]
    rng = np.random.default_rng(0)
    array = rng.choice([-2, -1, -0.0, 0, 1, np.nan, np.inf, -np.inf], x.shape).astype(np.float32)
    array[0] = rng.standard_normal(array[0].shape)
    for new, old in zip(interpret(after, [array]), interpret(before, [array]), strict=True):
        np.testing.assert_array_equal(new, old)


def test_moved_nodes_keep_their_own_lines():
    lines = [Location("net.py", 4, "x = F.relu(x)"), Location("net.py", 5, "x = self.pool(x)")]
    with located(lines[0]):
        active = relu(P)
    with located(lines[1]):
        pooled = pool(active)
    new = canonicalise_nodes([pooled])[pooled]
    assert [new.loc, new.inputs[0].loc] == lines


def test_every_reachable_node_is_mapped_and_untouched_ones_stay():
    hidden = relu(P)
    view = make.window(hidden, (2, 3), (2, 2), (2, 2), (1, 1))
    pooled = make.max(view, (4, 5))
    out = make.exp(pooled)
    new = canonicalise_nodes([out])
    assert set(new) == {P, hidden, view, pooled, out}
    assert new[P] is P
    assert new[hidden] is hidden
    assert new[view] is view
    assert new[out].inputs[0] is new[pooled]
    assert new[pooled].op.name == "relu"
