"""Matrices that each factorisation may take in, its rebuilt product and its derivatives checked.

The table's own cases are random matrices; those of ``cholesky`` and ``eigh`` must be symmetric, so
here every matrix is made of a random one, by ops, and derivatives are taken through the making.
"""

import numpy as np
import pytest

from ir import make
from ir.errors import LinAlgError
from ir.grad import gradient
from ir.graph import Graph, Node
from ir.interpret import interpret
from ir.ops import matrix_rules as rules
from ir.types import F64, TensorType

STEP = 1e-5
CHECK = {"check": True}
RNG = np.random.default_rng(5)


def matrices(*shape: int) -> Node:
    return make.input_node(TensorType(F64, shape), "x")


def positive(x: Node) -> Node:
    """Symmetric positive-definite matrices, far from equal eigenvalues."""
    rank, square = x.type.rank, (*x.shape[:-1], x.shape[-2])
    ramp = make.iota(square, rank - 1, F64)
    diagonal = rules.triangle(make, make.add(ramp, make.full_like(ramp, 1.0)), "eq")
    return make.add(rules.matmul(make, x, rules.flipped(make, x)), diagonal)


def weighted(node: Node) -> Node:
    """A sum of the node's elements, weighted so that no two weigh the same."""
    axes = tuple(range(node.type.rank))
    weights = make.add(make.mul(make.flat_index(node.shape, axes, F64), 0.37), 0.5)
    return make.sum(make.mul(node, make.sin(weights)), axes)


def eigen(x: Node, part: str) -> Node:
    """The values, or what the vectors make of them: ``V exp(-d) V^T`` has no signs."""
    n = x.shape[-1]
    packed = make.apply("eigh", x)
    values, vectors = rules.column(make, packed, 0), rules.cut(make, packed, -1, 1, n + 1)
    if part == "values":
        return values
    scale = rules.spread(make, make.exp(make.neg(values)), vectors.shape, -1)
    return rules.matmul(make, make.mul(vectors, scale), rules.flipped(make, vectors))


def singular(x: Node) -> Node:
    """``U exp(-s) V^T``."""
    m, n = x.shape[-2:]
    packed = make.apply("svd", x, full=False)
    u, v = rules.cut(make, packed, -2, 0, m), rules.cut(make, packed, -2, m + 1, m + 1 + n)
    s = make.exp(make.neg(rules.row(make, packed, m)))
    scaled = make.mul(u, rules.spread(make, s, u.shape, -1))
    return rules.matmul(make, scaled, rules.flipped(make, v))


def pseudo(x: Node) -> Node:
    limit = make.full_like(make.sum(x, (x.type.rank - 2, x.type.rank - 1)), 1e-9)
    return make.apply("pinv", x, limit, limit)


FUNCTIONS = {
    "cholesky": lambda x: make.apply("cholesky", positive(x), **CHECK),
    "inverse": lambda x: make.apply("inverse", positive(x), **CHECK),
    "solve": lambda x: make.apply("solve", positive(x), make.sin(x), **CHECK),
    "triangular upper": lambda x: make.apply(
        "triangular_solve", positive(x), make.sin(x), upper=True, unit=False
    ),
    "triangular unit": lambda x: make.apply(
        "triangular_solve", positive(x), make.sin(x), upper=False, unit=True
    ),
    "det": lambda x: make.apply("det", x),
    "slogdet": lambda x: make.apply("slogdet", x),
    "eigenvalues": lambda x: eigen(positive(x), "values"),
    "eigenvectors": lambda x: eigen(positive(x), "vectors"),
    "svd": singular,
    "qr": lambda x: make.apply("qr", x, full=False),
    "pinv": pseudo,
    "lu": lambda x: rules.cut(make, make.apply("lu", x), -1, 0, x.shape[-1]),
}
RECTANGULAR = ("svd", "qr", "pinv", "lu")
SHAPES = [
    pytest.param(name, shape, id=f"{name}-{'x'.join(map(str, shape))}")
    for name in FUNCTIONS
    for shape in ((3, 3), (2, 4, 4), *(((4, 2), (2, 2, 3)) if name in RECTANGULAR else ()))
]


def slope(outputs: tuple[Node, ...], x: Node, at: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The change of the outputs along ``way``, by central differences."""
    graph = Graph((x,), outputs)
    up, down = (np.array(interpret(graph, [at + s * STEP * way])) for s in (1, -1))
    return (up - down) / (2 * STEP)


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_gradient_is_the_slope_along_any_direction(name, shape):
    x = matrices(*shape)
    loss = weighted(FUNCTIONS[name](x))
    at, way = RNG.standard_normal(shape), RNG.standard_normal(shape)
    (found,) = interpret(Graph((x,), tuple(gradient(loss, [x]))), [at])
    wanted = slope((loss,), x, at, way)
    np.testing.assert_allclose((found * way).sum(), wanted[0], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["cholesky", "inverse", "solve", "det", "slogdet", "eigenvalues"])
def test_second_derivative_is_the_slope_of_the_first(name):
    x = matrices(2, 3, 3)
    (first,) = gradient(weighted(FUNCTIONS[name](x)), [x])
    loss = weighted(make.mul(first, first))
    at, way = RNG.standard_normal((2, 3, 3)), RNG.standard_normal((2, 3, 3))
    (found,) = interpret(Graph((x,), tuple(gradient(loss, [x]))), [at])
    wanted = slope((loss,), x, at, way)
    np.testing.assert_allclose((found * way).sum(), wanted[0], rtol=2e-5, atol=1e-6)


def value(node: Node, x: Node, at: np.ndarray) -> np.ndarray:
    return interpret(Graph((x,), (node,)), [at])[0]


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 2), (2, 1, 2, 4), (0, 3, 3), (2, 0, 3), (0, 0)])
def test_factors_rebuild_the_matrix(shape):
    x, at, (m, n) = matrices(*shape), RNG.standard_normal(shape), shape[-2:]
    for full in (False, True):
        packed = value(make.apply("svd", x, full=full), x, at)
        k = min(m, n)
        u, s, v = packed[..., :m, :k], packed[..., m, None, :k], packed[..., m + 1 :, :k]
        np.testing.assert_allclose(u * s @ v.swapaxes(-1, -2), at, atol=1e-12)
        packed = value(make.apply("qr", x, full=full), x, at)
        q, r = packed[..., :m, :], packed[..., m:, :].swapaxes(-1, -2)
        np.testing.assert_allclose(q @ r, at, atol=1e-12)
        assert not np.tril(r, -1).any()
    packed = value(make.apply("lu", x), x, at)
    lower = np.tril(packed[..., :k], -1) + np.eye(m, k)
    rows = packed[..., n + 1].astype(int)
    moved = np.take_along_axis(at, rows[..., None], -2)
    np.testing.assert_allclose(lower @ np.triu(packed[..., :k, :n]), moved, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (0, 3, 3), (2, 0, 0)])
def test_symmetric_factors_rebuild_the_matrix_of_its_lower_half(shape):
    x = matrices(*shape)
    at = RNG.standard_normal(shape)
    at = at @ at.swapaxes(-1, -2) + np.eye(shape[-1])
    spoiled = at + np.triu(np.ones(shape[-2:]), 1)
    packed = value(make.apply("eigh", x), x, spoiled)
    values, vectors = packed[..., None, :, 0], packed[..., 1:]
    np.testing.assert_allclose(vectors * values @ vectors.swapaxes(-1, -2), at, atol=1e-12)
    lower = value(make.apply("cholesky", x, **CHECK), x, spoiled)
    np.testing.assert_allclose(lower @ lower.swapaxes(-1, -2), at, atol=1e-12)


def test_adjugate_of_singular_matrices():
    x = matrices(3, 3)
    at = np.array([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])
    found = value(make.apply("adjugate", x), x, at)
    minors = [[np.delete(np.delete(at, i, 0), j, 1) for i in range(3)] for j in range(3)]
    wanted = [[(-1) ** (i + j) * np.linalg.det(y) for i, y in enumerate(r)]
              for j, r in enumerate(minors)]  # fmt: skip
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_matrices_that_allow_no_result():
    x, bad = matrices(2, 2, 2), np.array([np.eye(2), np.zeros((2, 2))])
    for name in ("inverse", "cholesky"):
        with pytest.raises(LinAlgError, match="the matrix is"):
            value(make.apply(name, x, check=True), x, bad)
        lenient = value(make.apply(name, x, check=False), x, bad)
        np.testing.assert_array_equal(lenient[0], np.eye(2))
        assert np.isnan(lenient[1]).all()
    assert value(make.apply("cholesky_info", x), x, bad).tolist() == [0, 1]
