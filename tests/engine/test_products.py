"""Vectors, matrices and batches in, NumPy's products out; also of whole numbers, also compiled."""

import numpy as np
import pytest

import engine

RNG = np.random.default_rng(2)
KINDS = ("f4", "f8", "i4", "i8", "u1")


def drawn(kind, *shapes):
    arrays = [RNG.integers(0, 5, shape).astype(kind) for shape in shapes]
    return arrays, [engine.tensor(x) for x in arrays]


MATMUL = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
    ((0, 2, 3), (0, 3, 2)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("left", "right"), MATMUL)
def test_matmul_is_numpys(left, right, kind):
    (a, b), (x, y) = drawn(kind, left, right)
    found = x @ y
    assert found.numpy().dtype == kind
    np.testing.assert_array_equal(found.numpy(), a @ b)


@pytest.mark.parametrize("kind", ["f4", "i8"])
def test_products_by_name(kind):
    (v, w, a, b, p, q), (x, y, m, n, r, s) = drawn(
        kind, (3,), (3,), (2, 3), (3, 4), (2, 3, 4), (2, 4, 2)
    )
    pairs = [
        (engine.dot(x, y), v @ w),
        (engine.vdot(x, y), v @ w),
        (engine.outer(x, y), np.outer(v, w)),
        (x.ger(y), np.outer(v, w)),
        (engine.inner(m, y), np.inner(a, w)),
        (m.mv(x), a @ v),
        (m.mm(n), a @ b),
        (r.bmm(s), p @ q),
        (engine.tensordot(r, s, dims=([2], [1])), np.tensordot(p, q, ([2], [1]))),
        (engine.tensordot(x, y, dims=0), np.outer(v, w)),
        (engine.einsum("ij,jk->ki", m, n), (a @ b).T),
    ]
    for found, wanted in pairs:
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_factors_scale_and_zero_leaves_the_sum_out():
    (c, a, b), (z, x, y) = drawn("f8", (2, 4), (2, 3), (3, 4))
    found = engine.addmm(z, x, y, beta=0.5, alpha=2)
    np.testing.assert_allclose(found.numpy(), 0.5 * c + 2 * a @ b)
    unknown = engine.full((4,), float("nan"), dtype=engine.float64)
    np.testing.assert_array_equal(engine.addmm(unknown, x, y, beta=0).numpy(), a @ b)
    batch, other = engine.stack([x, x]), engine.stack([y, y])
    np.testing.assert_allclose(engine.addbmm(z, batch, other).numpy(), c + 2 * a @ b)
    np.testing.assert_allclose(engine.baddbmm(z, batch, other).numpy()[1], c + a @ b)
    np.testing.assert_allclose(z.addmm_(x, y).numpy(), c + a @ b)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("i,i->", [(3,), (3,)]),
        ("ij->ji", [(2, 3)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 1)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("ijk,ijk->", [(2, 3, 4), (2, 3, 4)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        ("iij,jk->ik", [(3, 3, 2), (2, 4)]),
        ("ij,kj->", [(2, 0), (3, 0)]),
    ],
)
def test_einsum_is_numpys(equation, shapes):
    arrays, tensors = drawn("f8", *shapes)
    found = engine.einsum(equation, *tensors)
    np.testing.assert_allclose(found.numpy(), np.einsum(equation, *arrays))


def test_einsum_with_lists_of_numbers():
    (a, b), (x, y) = drawn("f4", (2, 3), (3, 4))
    np.testing.assert_allclose(engine.einsum(x, [0, 5], y, [5, 1], [1, 0]).numpy(), (a @ b).T)


def test_compiled_products_and_gradients():
    (a, b, c), (x, y, z) = drawn("f4", (4, 2, 3), (3, 5), (4, 5))

    def step(x, y, z):
        x, y = x.requires_grad_(), y.requires_grad_()
        loss = (engine.einsum("bij,jk,bk->bi", x, y, z) ** 2).sum()
        return loss, *engine.autograd.grad(loss, [x, y])

    eager, compiled = step(x, y, z), engine.jit(step)(x, y, z)
    inner = np.einsum("bij,jk,bk->bi", a, b, c)
    np.testing.assert_allclose(eager[0].detach().numpy(), (inner**2).sum(), rtol=1e-5)
    wanted = 2 * np.einsum("bi,jk,bk->bij", inner, b, c)
    np.testing.assert_allclose(eager[1].numpy(), wanted, rtol=1e-5)
    for one, other in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-5)


def test_compiled_products_of_whole_numbers():
    (a, b), (x, y) = drawn("i8", (4, 3), (3, 2))
    np.testing.assert_array_equal(engine.jit(lambda x, y: x @ y)(x, y).numpy(), a @ b)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x @ engine.ones(5), RuntimeError),
        (lambda x: x @ engine.tensor(2.0), RuntimeError),
        (lambda x: x @ engine.ones(3, 2, dtype=engine.float64), RuntimeError),
        (lambda x: engine.mm(x, engine.ones(3)), RuntimeError),
        (lambda x: engine.bmm(engine.ones(2, 3, 3), engine.ones(1, 3, 3)), RuntimeError),
        (lambda x: engine.dot(x, x), RuntimeError),
        (lambda x: engine.addmm(engine.ones(5), x, engine.ones(3, 4)), RuntimeError),
        (lambda x: engine.tensordot(x, x, dims=([0], [1])), RuntimeError),
        (lambda x: engine.einsum("ij,jk->ik", x, x), RuntimeError),
        (lambda x: engine.einsum("ij->ijj", x), RuntimeError),
        (lambda x: engine.einsum("i", x), RuntimeError),
        (lambda x: engine.einsum("i1", x), RuntimeError),
    ],
)
def test_misuse_is_an_error(call, error):
    with pytest.raises(error):
        call(engine.ones(2, 3))
