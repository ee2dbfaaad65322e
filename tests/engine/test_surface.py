"""Names of PyTorch beyond the op table: values against NumPy, eagerly and compiled."""

import numpy as np
import pytest

import engine

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
U = np.tanh(X)

ELEMENTWISE = {
    "tan": (np.tan, X),
    "sinh": (np.sinh, X),
    "cosh": (np.cosh, X),
    "asinh": (np.arcsinh, X * 9),
    "acosh": (np.arccosh, 1 + X * X),
    "atanh": (np.arctanh, U),
    "asin": (np.arcsin, U),
    "acos": (np.arccos, U),
    "atan": (np.arctan, X * 9),
    "exp2": (np.exp2, X),
    "log2": (np.log2, X * X + 1),
    "log10": (np.log10, X * X + 1),
    "sinc": (np.sinc, X),
    "trunc": (np.trunc, X * 3),
    "round": (np.round, np.round(X * 4) / 2),
    "nan_to_num": (np.nan_to_num, np.array([np.nan, np.inf, -np.inf, 1], np.float32)),
    "signbit": (np.signbit, np.array([-0.0, 0.0, -1, 1], np.float32)),
    "isinf": (np.isinf, np.array([np.nan, np.inf, -np.inf, 1], np.float32)),
    "logical_not": (np.logical_not, np.array([0.0, 2.0, -1.0], np.float32)),
    "fliplr": (np.fliplr, X),
    "ravel": (np.ravel, X),
    "rot90": (np.rot90, X),
    "diagonal": (np.diagonal, X),
    "diag": (np.diag, X[0]),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_against_numpy(name):
    meaning, x = ELEMENTWISE[name]
    function = getattr(engine, name)
    given, expected = engine.tensor(x), meaning(x)
    for out in (function(given), engine.jit(function)(given)):
        np.testing.assert_allclose(out.numpy(), expected, rtol=2e-5, atol=1e-6)


MOVED = {
    "roll": (lambda t: t.roll((1, -2), (0, 1)), np.roll(X, (1, -2), (0, 1))),
    "roll flat": (lambda t: t.roll(5), np.roll(X, 5)),
    "movedim": (lambda t: t.movedim(0, 1), np.moveaxis(X, 0, 1)),
    "split": (lambda t: engine.cat(t.split(4, 1)[::-1], 1), np.roll(X, 2, 1)),
    "chunk": (lambda t: t.chunk(2)[1], X[2:]),
    "unbind": (lambda t: t.unbind(1)[3], X[:, 3]),
    "narrow": (lambda t: t.narrow(1, 2, 3), X[:, 2:5]),
    "repeat": (lambda t: t.repeat(2, 1, 3), np.tile(X, (2, 1, 3))),
    "tile": (lambda t: t.tile(2), np.tile(X, 2)),
    "interleave": (lambda t: t.repeat_interleave(2, 1), np.repeat(X, 2, 1)),
    "diagonal": (lambda t: t.diagonal(-1), np.diagonal(X, -1)),
    "embed": (lambda t: t[0].diag_embed(-2), np.diag(X[0], -2)),
    "vstack": (lambda t: engine.vstack([t[0], t]), np.vstack([X[0], X])),
    "dstack": (lambda t: engine.dstack([t, t]), np.dstack([X, X])),
    "meshgrid": (
        lambda t: engine.meshgrid(t[0], t[1], indexing="xy")[0],
        np.meshgrid(X[0], X[1])[0],
    ),
    "fmod": (lambda t: t.fmod(0.7), np.fmod(X, 0.7)),
    "atan2": (lambda t: t.atan2(t.flip(0)), np.arctan2(X, X[::-1])),
    "hypot": (lambda t: t.hypot(t.flip(0)), np.hypot(X, X[::-1])),
    "logaddexp": (lambda t: t.logaddexp(t.flip(0)), np.logaddexp(X, X[::-1])),
}


@pytest.mark.parametrize("name", MOVED)
def test_methods_against_numpy(name):
    function, expected = MOVED[name]
    given = engine.tensor(X)
    for out in (function(given), engine.jit(function)(given)):
        np.testing.assert_allclose(out.numpy(), expected, rtol=2e-5, atol=2e-6)


def test_misuse_names_the_rule():
    x = engine.tensor(X)
    with pytest.raises(engine.ShapeError, match="do not add up"):
        x.split([1, 2])
    with pytest.raises(engine.ShapeError, match="vector or a matrix"):
        engine.diag(engine.zeros(1, 1, 1))
    with pytest.raises(IndexError):
        x.narrow(0, 3, 2)
    with pytest.raises(engine.DTypeError, match="bitwise_not"):
        x.bitwise_not()
