"""Triangles and their positions against NumPy's."""

import numpy as np
import pytest

import engine

A = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("diagonal", [-5, -1, 0, 2, 7])
@pytest.mark.parametrize("name", ["tril", "triu"])
def test_triangles(name, diagonal):
    def step(x):
        return getattr(engine, name)(x, diagonal)

    wanted = getattr(np, name)(A, diagonal)
    np.testing.assert_array_equal(step(engine.tensor(A)).numpy(), wanted)
    np.testing.assert_array_equal(engine.jit(step)(engine.tensor(A)).numpy(), wanted)


def test_a_triangle_forgets_infinities_and_passes_its_gradient():
    x = engine.tensor([[1.0, np.inf], [2.0, 3.0]], requires_grad=True)
    engine.tril(x).sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert engine.tril(x.detach()).tolist() == [[1.0, 0.0], [2.0, 3.0]]


def test_triangles_of_open_batch_sizes():
    step = engine.jit(lambda x: x.triu(1))
    for batch in (2, 3, 5):
        x = np.arange(batch * 9.0).reshape(batch, 3, 3)
        np.testing.assert_array_equal(step(engine.tensor(x)).numpy(), np.triu(x, 1))


def test_positions_and_trace():
    for offset in (-2, 0, 1):
        rows = engine.tril_indices(3, 4, offset).numpy()
        np.testing.assert_array_equal(rows, np.stack(np.tril_indices(3, offset, 4)))
        rows = engine.triu_indices(3, 4, offset).numpy()
        np.testing.assert_array_equal(rows, np.stack(np.triu_indices(3, offset, 4)))
    assert engine.trace(engine.tensor(A[0])).item() == pytest.approx(np.trace(A[0]))


def test_misuse():
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        engine.tril(engine.tensor([1.0]))
    with pytest.raises(RuntimeError, match="takes a matrix"):
        engine.trace(engine.tensor(A))
