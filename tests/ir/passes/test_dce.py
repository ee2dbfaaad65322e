"""Slices move before what they would throw away."""

import pytest

from ir import make
from ir.dims import symbol
from ir.graph import Graph
from ir.passes import dce
from ir.types import F32, TensorType

N = symbol("N")
X = make.input_node(TensorType(F32, (6, 4)), "x")
Y = make.input_node(TensorType(F32, (6, 4)), "y")
V = make.input_node(TensorType(F32, (4,)), "v")
Z = make.input_node(TensorType(F32, (N, 8)), "z")
BOTH = make.concatenate([X, Y], 0)
PADDED = make.pad(X, (1, 0), (2, 3))


def rows(x, start, stop, step=1):
    width = x.shape[1:]
    ones = tuple(1 for _ in width)
    return make.slice(x, (start, *(0 for _ in width)), (stop, *width), (step, *ones))


REWRITTEN = [
    (rows(BOTH, 0, 6), "x"),
    (rows(BOTH, 6, 12), "y"),
    (rows(BOTH, 7, 12, 2), "slice[start=(1, 0) step=(2, 1) stop=(6, 4)](y)"),
    (rows(rows(X, 1, 6), 1, 5, 2), "slice[start=(2, 0) step=(2, 1) stop=(5, 4)](x)"),
    (rows(rows(X, 0, 6, 2), 1, 3), "slice[start=(2, 0) step=(2, 1) stop=(5, 4)](x)"),
    (make.slice(PADDED, (1, 0), (7, 4), (1, 1)), "x"),
    (
        make.slice(PADDED, (2, 1), (7, 4), (2, 1)),
        "slice[start=(1, 1) step=(2, 1) stop=(6, 4)](x)",
    ),
    (
        make.slice(make.broadcast(V, (6, 4), (1,)), (0, 1), (2, 3), (1, 1)),
        "broadcast[axes=(1,)](slice[start=(1,) step=(1,) stop=(3,)](v))",
    ),
    (
        make.slice(make.slice(Z, (0, 2), (N, 8), (1, 1)), (0, 1), (N, 5), (1, 2)),
        "slice[start=(0, 3) step=(1, 2) stop=(N, 6)](z)",
    ),
    (make.slice(make.pad(Z, (0, 1), (0, 1)), (0, 1), (N, 9), (1, 1)), "z"),
]
KEPT = [
    rows(BOTH, 5, 7),
    rows(PADDED, 0, 7),
    make.slice(make.pad(X, (0, 0), (0, 0), (1, 0)), (0, 0), (3, 4), (1, 1)),
    rows(X, 0, 3),
]


@pytest.mark.parametrize(("before", "after"), REWRITTEN, ids=[after for _, after in REWRITTEN])
def test_rewritten(spell, before, after):
    (result,) = dce(Graph((X, Y, V, Z), (before,))).outputs
    assert spell(result) == after
    assert result.type == before.type


@pytest.mark.parametrize("node", KEPT, ids=[repr(node) for node in KEPT])
def test_kept(node):
    graph = Graph((X, Y, V, Z), (node,))
    assert dce(graph) is graph
