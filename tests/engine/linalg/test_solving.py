"""Square matrices in, NumPy's inverses, solutions and determinants out, eager and compiled."""

import numpy as np
import pytest

import engine
from engine import linalg

RNG = np.random.default_rng(3)
SQUARES = [(3, 3), (2, 4, 4), (2, 1, 2, 2), (1, 1), (0, 3, 3), (0, 0), (2, 0, 0)]


def regular(*shape, kind="f8"):
    return (RNG.standard_normal(shape) + 3 * np.eye(shape[-1])).astype(kind)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("shape", SQUARES)
def test_inverse_and_determinants(shape, kind):
    a = regular(*shape, kind=kind)
    x, near = engine.tensor(a), {"rtol": 1e-4, "atol": 1e-5} if kind == "f4" else {"rtol": 1e-10}
    assert linalg.inv(x).dtype == np.dtype(kind)
    np.testing.assert_allclose(x.inverse().numpy(), np.linalg.inv(a), **near)
    np.testing.assert_allclose(engine.det(x).numpy(), np.linalg.det(a), **near)
    sign, size = engine.slogdet(x)
    np.testing.assert_allclose(sign.numpy(), np.linalg.slogdet(a)[0])
    np.testing.assert_allclose(size.numpy(), np.linalg.slogdet(a)[1], **near)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (2, 3)),
        ((2, 3, 3), (3, 4)),
        ((3, 3), (5, 3, 1)),
        ((0, 0), (0, 2)),
        ((3, 3), (3, 0)),
    ],
)
def test_solution_satisfies_the_equations(left, right):
    a, b = regular(*left), RNG.standard_normal(right)
    found = linalg.solve(engine.tensor(a), engine.tensor(b)).numpy()
    vectors = len(right) == 1 or right == left[:-1]
    product = (a @ found[..., None])[..., 0] if vectors else a @ found
    np.testing.assert_allclose(product, np.broadcast_to(b, product.shape), atol=1e-10)


def test_solution_from_the_right():
    a, b = regular(2, 3, 3), RNG.standard_normal((2, 4, 3))
    found = linalg.solve(engine.tensor(a), engine.tensor(b), left=False).numpy()
    np.testing.assert_allclose(found @ a, b, atol=1e-10)


@pytest.mark.parametrize("unitriangular", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("upper", [False, True])
def test_triangular_solution_reads_one_half(upper, left, unitriangular):
    a, b = regular(2, 3, 3), RNG.standard_normal((3, 3))
    half = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        half[:, range(3), range(3)] = 1
    options = {"upper": upper, "left": left, "unitriangular": unitriangular}
    found = linalg.solve_triangular(engine.tensor(a), engine.tensor(b), **options).numpy()
    np.testing.assert_allclose(half @ found if left else found @ half, [b, b], atol=1e-10)


def test_tensor_equations():
    a, b = RNG.standard_normal((2, 3, 6)), RNG.standard_normal((2, 3))
    x = linalg.tensorsolve(engine.tensor(a), engine.tensor(b)).numpy()
    np.testing.assert_allclose(np.tensordot(a, x, 1), b, atol=1e-10)
    inverse = linalg.tensorinv(engine.tensor(a), ind=2)
    np.testing.assert_allclose(inverse.numpy(), np.linalg.tensorinv(a, 2), atol=1e-10)


def test_gradients_have_their_closed_forms():
    a = regular(2, 3, 3)
    x = engine.tensor(a, requires_grad=True)
    bent = np.linalg.inv(a).swapaxes(-1, -2)
    (found,) = engine.autograd.grad(linalg.slogdet(x).logabsdet.sum(), [x])
    np.testing.assert_allclose(found.numpy(), bent, atol=1e-12)
    (found,) = engine.autograd.grad(linalg.det(x).sum(), [x])
    np.testing.assert_allclose(found.numpy(), np.linalg.det(a)[:, None, None] * bent, atol=1e-10)
    (found,) = engine.autograd.grad(linalg.inv(x).sum(), [x])
    np.testing.assert_allclose(found.numpy(), -bent @ np.ones((3, 3)) @ bent, atol=1e-12)


def test_determinant_of_a_singular_matrix_has_a_gradient():
    x = engine.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    (found,) = engine.autograd.grad(engine.det(x), [x])
    np.testing.assert_allclose(found.numpy(), [[4, -2], [-2, 1]], atol=1e-5)


def test_logarithm_of_a_negative_determinant_is_nan():
    assert np.isnan(engine.logdet(engine.tensor([[0.0, 1.0], [1.0, 0.0]])).item())


def test_singular_matrices_raise_or_are_told_of():
    bad = engine.tensor([[[1.0, 2.0], [2.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]])
    for call in (linalg.inv, lambda x: linalg.solve(x, engine.ones(2, 2, 1))):
        with pytest.raises(linalg.LinAlgError, match="singular"):
            call(bad)
    assert linalg.inv_ex(bad).info.tolist() == [2, 0]
    assert linalg.solve_ex(bad, engine.ones(2, 2, 1)).info.dtype == engine.int32


@pytest.mark.parametrize(
    "call",
    [
        lambda: linalg.inv(engine.ones(2, 3)),
        lambda: linalg.det(engine.ones(3)),
        lambda: linalg.inv(engine.ones(2, 2, dtype=engine.int64)),
        lambda: linalg.solve(engine.eye(2), engine.ones(3)),
        lambda: linalg.solve(engine.eye(2), engine.ones(2, dtype=engine.float64)),
        lambda: linalg.tensorinv(engine.ones(2, 2), ind=0),
    ],
)
def test_misuse_is_an_error(call):
    with pytest.raises(RuntimeError):
        call()


def test_compiled_step_has_the_same_values_and_gradients():
    a, b = engine.tensor(regular(2, 3, 3)), engine.tensor(RNG.standard_normal((2, 3, 2)))

    def step(a, b):
        a, b = a.requires_grad_(), b.requires_grad_()
        out = linalg.solve(a * 2, b.tanh()) + linalg.det(a)[:, None, None]
        loss = (out * out).sum() + linalg.slogdet(a).logabsdet.sum()
        return loss, *engine.autograd.grad(loss, [a, b])

    for one, other in zip(step(a, b), engine.jit(step)(a, b), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-10)
