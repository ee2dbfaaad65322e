"""Blocks, products of all with all and powers against NumPy's."""

from itertools import combinations, product

import numpy as np
import pytest

import engine

A = np.random.default_rng(0).standard_normal((2, 3))
B = np.random.default_rng(1).standard_normal((4, 2))


def test_block_diag():
    wanted = np.zeros((7, 6))
    wanted[:2, :3], wanted[2:6, 3:5], wanted[6, 5] = A, B, 2.0

    def run(*parts):
        return engine.block_diag(*parts)

    parts = [engine.tensor(A), engine.tensor(B), engine.tensor(2.0)]
    np.testing.assert_array_equal(run(*parts).numpy(), wanted)
    np.testing.assert_array_equal(engine.jit(run)(*parts).numpy(), wanted)


@pytest.mark.parametrize(("a", "b"), [(A, B), (A[0], B), (A, B[0, 0]), (A[:, 0], B[:, 1])])
def test_kron(a, b):
    x, y = engine.tensor(a), engine.tensor(b)
    np.testing.assert_allclose(engine.kron(x, y).numpy(), np.kron(a, b))
    np.testing.assert_allclose(engine.jit(engine.kron)(x, y).numpy(), np.kron(a, b))


def test_choices():
    x = engine.tensor([3, 1, 2])
    y = engine.tensor([7, 8])
    assert engine.cartesian_prod(x, y).tolist() == [list(c) for c in product([3, 1, 2], [7, 8])]
    assert engine.combinations(x).tolist() == [list(c) for c in combinations([3, 1, 2], 2)]
    assert engine.combinations(x, 4).shape == (0, 4)


@pytest.mark.parametrize("increasing", [False, True])
@pytest.mark.parametrize("count", [None, 0, 1, 5])
def test_vander(count, increasing):
    got = engine.vander(engine.tensor(A[0]), count, increasing)
    np.testing.assert_allclose(got.numpy(), np.vander(A[0], count, increasing))


def test_misuse():
    with pytest.raises(RuntimeError, match="at most 2 dimensions"):
        engine.block_diag(engine.tensor(A[None]))
    with pytest.raises(RuntimeError, match="takes a vector"):
        engine.vander(engine.tensor(A))
