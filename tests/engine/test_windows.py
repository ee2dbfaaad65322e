"""Sliding windows and strided copies against NumPy's."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import engine

A = np.arange(24.0).reshape(4, 6)


@pytest.mark.parametrize(("dim", "size", "step"), [(0, 2, 1), (1, 3, 2), (-1, 6, 1), (0, 1, 3)])
def test_unfold(dim, size, step):
    rows = sliding_window_view(A, size, dim)
    keep = [slice(None)] * 3
    keep[dim % 2] = slice(None, None, step)

    def run(x):
        return x.unfold(dim, size, step)

    x = engine.tensor(A)
    np.testing.assert_array_equal(run(x).numpy(), rows[tuple(keep)])
    np.testing.assert_array_equal(engine.jit(run)(x).numpy(), rows[tuple(keep)])


def test_windows_add_their_gradients():
    x = engine.tensor(A[0], requires_grad=True)
    x.unfold(0, 3, 1).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]


def test_as_strided():
    steps = tuple(8 * step for step in (1, 7))
    wanted = as_strided(A.reshape(-1)[2:], (3, 2), steps)
    got = engine.as_strided(engine.tensor(A), (3, 2), (1, 7), 2)
    np.testing.assert_array_equal(got.numpy(), wanted)


def test_misuse():
    x = engine.tensor(A)
    with pytest.raises(RuntimeError, match="no windows of 7"):
        x.unfold(1, 7, 1)
    with pytest.raises(RuntimeError, match="outside its 24 elements"):
        x.as_strided((5,), (6,))
    with pytest.raises(engine.Unsupported, match="not in row-major order"):
        x.T.as_strided((2,), (1,))
