"""Functions on matrices of PyTorch and of the engine on the same numbers in, equal values,
gradients and second derivatives out. Asks PyTorch live: run by `make parity`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

N = np.random.default_rng(0).standard_normal
SQUARE = N((2, 4, 4)) + 2 * np.eye(4)
TALL, WIDE = N((2, 5, 3)), N((2, 3, 5))
SYMMETRIC = SQUARE @ SQUARE.swapaxes(-1, -2) + np.diag([1.0, 2, 3, 4])
RIGHT = N((2, 4, 3))


def rebuilt(values: Any, left: Any, right: Any) -> Any:
    """What vectors make of a function of the values: the same whatever their signs."""
    return (left * values.tanh().unsqueeze(-2)) @ right


def by_eigen(t: Any, a: Any) -> Any:
    """Through ``eigh``."""
    values, vectors = t.linalg.eigh(a)
    return rebuilt(values, vectors, vectors.mT)


def by_singular(t: Any, a: Any) -> Any:
    """Through ``svd``."""
    u, s, vh = t.linalg.svd(a, full_matrices=False)
    return rebuilt(s, u, vh)


ONE = {
    "inv": lambda t, a: t.linalg.inv(a),
    "det": lambda t, a: t.linalg.det(a),
    "slogdet": lambda t, a: t.linalg.slogdet(a)[1],
    "matrix_exp": lambda t, a: t.matrix_exp(a / 4),
    "matrix_power": lambda t, a: t.linalg.matrix_power(a, -2),
    "lu": lambda t, a: t.linalg.lu(a)[1] @ t.linalg.lu(a)[2].tanh(),
    "cond": lambda t, a: t.linalg.cond(a),
    "nuclear": lambda t, a: t.linalg.matrix_norm(a, "nuc"),
    "solve": lambda t, a: t.linalg.solve(a, a.mT @ a),
}
POSITIVE = {
    "cholesky": lambda t, a: t.linalg.cholesky(a),
    "cholesky upper": lambda t, a: t.linalg.cholesky(a, upper=True),
    "eigvalsh": lambda t, a: t.linalg.eigvalsh(a),
    "eigh": by_eigen,
    "hermitian pinv": lambda t, a: t.linalg.pinv(a, hermitian=True),
}
ANY = {
    "svd": by_singular,
    "qr": lambda t, a: t.linalg.qr(a)[0] @ t.linalg.qr(a)[1].sin(),
    "pinv": lambda t, a: t.linalg.pinv(a),
    "norm": lambda t, a: t.linalg.vector_norm(a, 3, dim=-1),
    "lu packed": lambda t, a: t.linalg.lu_factor(a)[0],
}
CASES = [
    *((name, call, SQUARE) for name, call in ONE.items()),
    *((name, call, SYMMETRIC) for name, call in POSITIVE.items()),
    *((name, call, x) for name, call in ANY.items() for x in (SQUARE, TALL, WIDE)),
]
IDS = [f"{name}-{'x'.join(map(str, x.shape))}" for name, _, x in CASES]


def asked(t: Any, call: Callable[..., Any], a: Any, weights: Any) -> tuple[Any, ...]:
    """Value, gradient, and the gradient of the gradient's weighted square."""
    grad = t.autograd.grad
    out = call(t, a)
    (first,) = grad((out * weights(out.shape)).sum(), [a], create_graph=True)
    (second,) = grad((first * first * weights(first.shape)).sum(), [a])
    return out, first, second


def cotangents(make: Callable[..., Any], kind: str) -> Callable[..., Any]:
    return lambda shape: make(np.random.default_rng(1).standard_normal(tuple(shape)).astype(kind))


@pytest.mark.parametrize(("name", "call", "array"), CASES, ids=IDS)
def test_values_and_two_derivatives(name: str, call: Callable[..., Any], array: Any) -> None:
    mine = asked(
        engine, call, engine.tensor(array, requires_grad=True), cotangents(engine.tensor, "f8")
    )
    theirs = asked(
        torch, call, torch.tensor(array, requires_grad=True), cotangents(torch.tensor, "f8")
    )
    for found, wanted in zip(mine, theirs, strict=True):
        a, b = found.detach().numpy(), wanted.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize(("name", "call", "array"), CASES, ids=IDS)
def test_float32_is_as_near_as_pytorchs(name: str, call: Callable[..., Any], array: Any) -> None:
    exact = call(torch, torch.tensor(array)).numpy()
    theirs = call(torch, torch.tensor(array.astype("f4"))).numpy()
    mine = call(engine, engine.tensor(array.astype("f4"))).numpy()
    assert mine.dtype == theirs.dtype
    allowed = 4 * np.abs(theirs - exact).max() + 4e-6 * np.abs(exact).max()
    assert np.abs(mine - exact).max() <= allowed


PRODUCTS = [
    ("addmm", ((4, 3), (4, 5), (5, 3)), {"beta": 0.5, "alpha": 2}),
    ("addmv", ((4,), (4, 5), (5,)), {"alpha": -1}),
    ("addr", ((4, 5), (4,), (5,)), {"beta": 2}),
    ("baddbmm", ((2, 4, 3), (2, 4, 5), (2, 5, 3)), {"beta": 0}),
    ("addbmm", ((4, 3), (2, 4, 5), (2, 5, 3)), {"beta": 3, "alpha": 2}),
    ("inner", ((2, 3), (4, 3)), {}),
    ("tensordot", ((2, 3, 4), (4, 3, 5)), {"dims": ([1, 2], [1, 0])}),
    ("matmul", ((3, 1, 2, 4), (5, 4, 2)), {}),
    ("cross", ((2, 3), (2, 3)), {"dim": -1}),
    ("kron", ((2, 3), (4, 1)), {}),
]


@pytest.mark.parametrize(("name", "shapes", "options"), PRODUCTS, ids=[p[0] for p in PRODUCTS])
def test_products(name: str, shapes: Any, options: dict[str, Any]) -> None:
    arrays = [N(shape) for shape in shapes]
    found = []
    for t in (engine, torch):
        given = [t.tensor(x, requires_grad=True) for x in arrays]
        out = getattr(t, name)(*given, **options)
        used = given[1:] if options.get("beta") == 0 else given
        found.append((out, *t.autograd.grad((out * out).sum(), used)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-10)
