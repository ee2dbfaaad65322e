"""Matrices in, NumPy's norms, ranks, pseudoinverses, least squares, powers and chains out."""

import math

import numpy as np
import pytest

import engine
from engine import linalg

RNG = np.random.default_rng(6)
INF = math.inf


@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 3, -1, INF, -INF])
@pytest.mark.parametrize("axis", [0, -1])
def test_vector_norm(order, axis):
    a = RNG.standard_normal((3, 4))
    found = linalg.vector_norm(engine.tensor(a), order, axis, keepdim=True).numpy()
    np.testing.assert_allclose(found, np.linalg.norm(a, order, axis, keepdims=True))


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, INF, -INF])
def test_matrix_norm(order):
    a = RNG.standard_normal((2, 3, 4))
    for axes in ((-2, -1), (0, 2), (2, 1)):
        found = linalg.matrix_norm(engine.tensor(a), order, axes).numpy()
        np.testing.assert_allclose(found, np.linalg.norm(a, order, axes))
    kept = linalg.matrix_norm(engine.tensor(a), order, keepdim=True)
    assert kept.shape == (2, 1, 1)


@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 3, -1, INF, -INF])
def test_norm_of_zeros_has_a_gradient_of_zeros(order):
    x = engine.zeros(2, 3, requires_grad=True)
    (found,) = engine.autograd.grad(linalg.vector_norm(x, order, 1).sum(), [x])
    np.testing.assert_array_equal(found.numpy(), np.zeros((2, 3)))


def test_norms_of_nothing():
    for order in ("fro", "nuc", 1, 2, INF):
        assert linalg.matrix_norm(engine.zeros(0, 0), order).item() == 0
    with pytest.raises(RuntimeError, match="not defined"):
        linalg.vector_norm(engine.zeros(0), -1)
    with pytest.raises(IndexError):
        linalg.matrix_norm(engine.zeros(0, 3), -INF)


def test_norm_in_another_dtype():
    x = engine.tensor([3.0, 4.0])
    assert linalg.norm(x, dtype=engine.float64).dtype == engine.float64
    with pytest.raises(RuntimeError):
        linalg.norm(x.double(), dtype=engine.float32)
    with pytest.raises(RuntimeError):
        linalg.norm(x.long())


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (2, 3, 3), (0, 3, 2), (3, 0)])
def test_pseudoinverse(shape):
    a = RNG.standard_normal(shape)
    found = linalg.pinv(engine.tensor(a))
    np.testing.assert_allclose(found.numpy(), np.linalg.pinv(a), atol=1e-10)


def test_rank_and_pseudoinverse_of_a_matrix_without_full_rank():
    a = np.outer([1.0, 2, 3], [4.0, 5, 6])
    x = engine.tensor(a)
    assert linalg.matrix_rank(x).item() == 1
    assert linalg.matrix_rank(engine.tensor(np.diag([1.0, 0.1, 1e-3])), tol=0.01).item() == 2
    np.testing.assert_allclose(linalg.pinv(x).numpy(), np.linalg.pinv(a), atol=1e-12)
    symmetric = engine.tensor(a @ a.T)
    found = linalg.pinv(symmetric, hermitian=True).numpy()
    np.testing.assert_allclose(found, np.linalg.pinv(a @ a.T), atol=1e-12)
    assert linalg.matrix_rank(symmetric, hermitian=True).item() == 1


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_least_squares(shape):
    a, b = RNG.standard_normal(shape), RNG.standard_normal((shape[0], 2))
    found = linalg.lstsq(engine.tensor(a), engine.tensor(b), driver="gelsd")
    wanted, residuals, rank, values = np.linalg.lstsq(a, b, rcond=None)
    np.testing.assert_allclose(found.solution.numpy(), wanted, atol=1e-10)
    np.testing.assert_allclose(found.residuals.numpy(), residuals, atol=1e-10)
    np.testing.assert_allclose(found.singular_values.numpy(), values)
    assert found.rank.item() == rank


@pytest.mark.parametrize("order", [None, 1, -1, 2, -2, INF, "fro", "nuc"])
def test_condition(order):
    a = RNG.standard_normal((2, 3, 3))
    np.testing.assert_allclose(
        linalg.cond(engine.tensor(a), order).numpy(), np.linalg.cond(a, order)
    )


@pytest.mark.parametrize("n", [0, 1, 2, 5, -1, -3])
def test_matrix_power(n):
    a = RNG.standard_normal((2, 3, 3))
    found = engine.matrix_power(engine.tensor(a), n).numpy()
    np.testing.assert_allclose(found, np.linalg.matrix_power(a, n), rtol=1e-8)


@pytest.mark.parametrize("size", [0.01, 1.0, 20.0])
def test_matrix_exponential(size):
    a = RNG.standard_normal((2, 4, 4))
    a = size * (a + a.swapaxes(-1, -2))
    values, vectors = np.linalg.eigh(a)
    wanted = vectors * np.exp(values)[..., None, :] @ vectors.swapaxes(-1, -2)
    found = engine.matrix_exp(engine.tensor(a)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-10 * np.abs(wanted).max())


def test_chains_are_multiplied_in_the_cheaper_order():
    a, b, c, d = (RNG.standard_normal(s) for s in ((4,), (4, 3), (3, 5), (5,)))
    found = linalg.multi_dot([engine.tensor(x) for x in (a, b, c, d)])
    np.testing.assert_allclose(found.item(), a @ b @ c @ d)
    found = engine.chain_matmul(engine.tensor(b), engine.tensor(c))
    np.testing.assert_allclose(found.numpy(), b @ c)


def test_cross_products_and_sums():
    a, b = RNG.standard_normal((2, 3)), RNG.standard_normal((1, 3))
    x, y = engine.tensor(a), engine.tensor(b)
    np.testing.assert_allclose(linalg.cross(x, y).numpy(), np.cross(a, b))
    np.testing.assert_allclose(engine.cross(x, y).numpy(), np.cross(a, b))
    np.testing.assert_allclose(linalg.vecdot(x, y).numpy(), (a * b).sum(-1))
    np.testing.assert_allclose(linalg.vander(x, N=4).numpy()[1], np.vander(a[1], 4, True))


@pytest.mark.parametrize(
    "call",
    [
        lambda: linalg.multi_dot([engine.eye(2)]),
        lambda: linalg.multi_dot([engine.ones(2, 3), engine.ones(2, 3)]),
        lambda: linalg.cross(engine.ones(2), engine.ones(2)),
        lambda: engine.cross(engine.ones(2, 2), engine.ones(2, 2)),
        lambda: linalg.vecdot(engine.ones(2), engine.ones(3)),
        lambda: linalg.matrix_norm(engine.ones(2, 2), "max"),
        lambda: linalg.matrix_norm(engine.ones(2)),
        lambda: linalg.matrix_power(engine.ones(2, 3), 2),
        lambda: linalg.lstsq(engine.ones(3, 2), engine.ones(2, 2)),
    ],
)
def test_misuse_is_an_error(call):
    with pytest.raises(RuntimeError):
        call()


def test_compiled_step_has_the_same_values_and_gradients():
    a = engine.tensor(RNG.standard_normal((2, 3, 3)))

    def step(a):
        a = a.requires_grad_()
        loss = linalg.matrix_norm(a, "nuc").sum() + linalg.vector_norm(a, 3)
        loss = loss + engine.matrix_exp(a).tanh().sum() + linalg.pinv(a[:, :2]).sum()
        return loss, engine.autograd.grad(loss, [a])[0]

    for one, other in zip(step(a), engine.jit(step)(a), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-8)
