"""What masks choose, count and write, against NumPy's."""

import numpy as np
import pytest

import engine

A = np.random.default_rng(0).integers(-2, 3, (4, 5)).astype(np.float32)
MASK = A > 0


def test_positions():
    x = engine.tensor(A)
    np.testing.assert_array_equal(engine.argwhere(x).numpy(), np.argwhere(A))
    for ours, theirs in zip(engine.nonzero(x, as_tuple=True), np.nonzero(A), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("size", [0, 3, 30])
def test_positions_of_a_fixed_size_compile(size):
    wanted = np.full((size, 2), -9)
    found = np.argwhere(A)[:size]
    wanted[: len(found)] = found

    def run(x):
        return engine.nonzero_static(x, size=size, fill_value=-9)

    np.testing.assert_array_equal(run(engine.tensor(A)).numpy(), wanted)
    np.testing.assert_array_equal(engine.jit(run)(engine.tensor(A)).numpy(), wanted)


def test_masked_select_and_its_gradient():
    x = engine.tensor(A, requires_grad=True)
    chosen = engine.masked_select(x, engine.tensor(MASK))
    np.testing.assert_array_equal(chosen.detach().numpy(), A[MASK])
    chosen.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), MASK)


@pytest.mark.parametrize("rows", [4, 3, 2])
def test_masked_scatter(rows):
    new = np.arange(40, dtype=np.float32)
    wanted = A[:rows].copy()
    wanted[MASK[:rows]] = new[: MASK[:rows].sum()]
    given = [engine.tensor(v) for v in (A[:rows], MASK[:rows], new)]
    np.testing.assert_array_equal(engine.masked_scatter(*given).numpy(), wanted)
    np.testing.assert_array_equal(SCATTERED(*given).numpy(), wanted)


SCATTERED = engine.jit(lambda x, mask, new: x.masked_scatter(mask, new))


def test_unravel_index():
    places = np.array([0, 7, 23])
    got = engine.unravel_index(engine.tensor(places), (2, 3, 4))
    for ours, theirs in zip(got, np.unravel_index(places, (2, 3, 4)), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_misuse():
    x = engine.tensor(A)
    with pytest.raises(RuntimeError, match="the source 1 elements"):
        x.masked_scatter(engine.tensor(MASK), engine.tensor([1.0]))
    with pytest.raises(engine.Unsupported, match="size depends on data"):
        engine.jit(engine.nonzero)(x)
    with pytest.raises(RuntimeError, match="0-d tensor"):
        x.masked_fill(engine.tensor(MASK), engine.tensor([1.0]))
