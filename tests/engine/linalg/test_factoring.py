"""Matrices in, factors out that rebuild them, with orthogonal or triangular parts."""

import numpy as np
import pytest

import engine
from engine import linalg

RNG = np.random.default_rng(4)
SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 2), (2, 1, 2, 3), (1, 1), (0, 3, 2), (2, 0), (0, 0)]


def positive(*shape):
    x = RNG.standard_normal(shape)
    return x @ x.swapaxes(-1, -2) + np.eye(shape[-1])


def flipped(x):
    return x.swapaxes(-1, -2)


def assert_orthonormal(q):
    product = flipped(q) @ q
    wanted = np.broadcast_to(np.eye(q.shape[-1]), product.shape)
    np.testing.assert_allclose(product, wanted, atol=1e-10)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values(shape, full):
    a, k = RNG.standard_normal(shape), min(shape[-2:])
    u, s, vh = (x.numpy() for x in linalg.svd(engine.tensor(a), full_matrices=full))
    np.testing.assert_allclose(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a, atol=1e-10)
    np.testing.assert_allclose(s, np.linalg.svd(a)[1], atol=1e-10)
    assert (u.shape[-1], vh.shape[-2]) == (shape[-2:] if full else (k, k))
    assert_orthonormal(u)
    assert_orthonormal(flipped(vh))
    u, s, v = engine.svd(engine.tensor(a), some=not full)
    assert v.shape == flipped(vh).shape


@pytest.mark.parametrize("shape", SHAPES)
def test_qr(shape):
    a = RNG.standard_normal(shape)
    for mode in ("reduced", "complete"):
        q, r = (x.numpy() for x in linalg.qr(engine.tensor(a), mode))
        np.testing.assert_allclose(q @ r, a, atol=1e-10)
        assert not np.tril(r, -1).any()
        assert_orthonormal(q)
    assert linalg.qr(engine.tensor(a), "r").Q.shape == (0,)


@pytest.mark.parametrize("shape", [(4, 3), (3, 3), (3, 1)])
def test_product_of_reflections(shape):
    a = RNG.standard_normal(shape)
    packed, tau = np.linalg.qr(a, "raw")
    found = linalg.householder_product(engine.tensor(packed.T.copy()), engine.tensor(tau))
    np.testing.assert_allclose(found.numpy(), np.linalg.qr(a)[0], atol=1e-12)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        engine.orgqr(engine.ones(2, 3), engine.ones(2))


@pytest.mark.parametrize("shape", SHAPES)
def test_lu(shape):
    a = RNG.standard_normal(shape)
    p, lower, upper = (x.numpy() for x in linalg.lu(engine.tensor(a)))
    np.testing.assert_allclose(p @ lower @ upper, a, atol=1e-10)
    assert not np.triu(lower, 1).any()
    assert not np.tril(upper, -1).any()
    packed = linalg.lu_factor(engine.tensor(a))
    assert packed.pivots.dtype == engine.int32
    for one, other in zip(engine.lu_unpack(*packed), (p, lower, upper), strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("adjoint", [False, True])
def test_lu_solve(left, adjoint):
    a, b = RNG.standard_normal((2, 3, 3)), RNG.standard_normal((2, 3, 3))
    packed = linalg.lu_factor(engine.tensor(a))
    x = linalg.lu_solve(*packed, engine.tensor(b), left=left, adjoint=adjoint).numpy()
    matrix = flipped(a) if adjoint else a
    np.testing.assert_allclose(matrix @ x if left else x @ matrix, b, atol=1e-10)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (0, 2, 2), (0, 0)])
def test_symmetric_matrices(shape):
    a = positive(*shape)
    x = engine.tensor(a)
    values, vectors = (y.numpy() for y in linalg.eigh(x))
    np.testing.assert_allclose(vectors * values[..., None, :] @ flipped(vectors), a, atol=1e-10)
    np.testing.assert_allclose(linalg.eigvalsh(x, "U").numpy(), values, atol=1e-10)
    for upper in (False, True):
        factor = linalg.cholesky(x, upper=upper)
        half = flipped(factor.numpy()) if upper else factor.numpy()
        np.testing.assert_allclose(half @ flipped(half), a, atol=1e-10)
        found = engine.cholesky_inverse(factor, upper=upper).numpy()
        np.testing.assert_allclose(found, np.linalg.inv(a), atol=1e-10)


@pytest.mark.parametrize("function", [linalg.cholesky, linalg.eigvalsh])
def test_one_half_is_read(function):
    a = positive(3, 3)
    spoiled = engine.tensor(np.where(np.tri(3) > 0, a, np.nan))
    np.testing.assert_allclose(function(spoiled).numpy(), function(engine.tensor(a)).numpy())


def test_indefinite_matrices_raise_or_are_told_of():
    bad = engine.tensor([[[1.0, 0.0], [0.0, -1.0]], [[4.0, 0.0], [0.0, 9.0]]])
    with pytest.raises(linalg.LinAlgError, match="positive-definite"):
        linalg.cholesky(bad)
    found = linalg.cholesky_ex(bad)
    assert found.info.tolist() == [2, 0]
    np.testing.assert_array_equal(found.L.numpy()[1], [[2, 0], [0, 3]])


def test_what_is_not_offered_says_so():
    for call in (linalg.eig, linalg.eigvals, lambda x: linalg.lu(x, pivot=False)):
        with pytest.raises(engine.Unsupported, match="not offered"):
            call(engine.eye(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda: linalg.cholesky(engine.ones(2, 3)),
        lambda: linalg.qr(engine.ones(2, 3), "full"),
        lambda: linalg.eigh(engine.eye(2), "X"),
        lambda: linalg.svd(engine.ones(3)),
        lambda: linalg.svd(engine.ones(3, 3, dtype=engine.int64)),
    ],
)
def test_misuse_is_an_error(call):
    with pytest.raises(RuntimeError):
        call()


def test_compiled_step_has_the_same_values_and_gradients():
    a = engine.tensor(positive(2, 3, 3))

    def step(a):
        a = a.requires_grad_()
        lower = linalg.cholesky(a)
        values, vectors = linalg.eigh(a)
        rebuilt = vectors * values.log()[:, None, :] @ vectors.mT
        q, r = linalg.qr(a)
        loss = (lower * lower * lower).sum() + rebuilt.tanh().sum() + (q * r).sum()
        loss = loss + linalg.svdvals(a).log().sum()
        return loss, engine.autograd.grad(loss, [a])[0]

    for one, other in zip(step(a), engine.jit(step)(a), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-9)


def test_matrices_of_a_size_that_changes_are_compiled_again():
    values = engine.jit(lambda x: linalg.svdvals(x * 1.5))
    for rows in (2, 3, 5):
        a = RNG.standard_normal((rows, 3))
        found = values(engine.tensor(a)).numpy()
        np.testing.assert_allclose(found, np.linalg.svd(a * 1.5)[1], rtol=1e-10)
