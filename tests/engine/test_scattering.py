"""Writing to positions against NumPy's ``ufunc.at``, eager, compiled, and with open sizes."""

import numpy as np
import pytest

import engine

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5))
INDEX = RNG.integers(0, 4, (3, 5))
SRC = RNG.standard_normal((3, 5))
AT = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def both(function, *arrays):
    """The eager result, which the compiled one has to equal."""
    given = [engine.tensor(array) for array in arrays]
    eager = function(*given).numpy()
    np.testing.assert_allclose(engine.jit(function)(*given).numpy(), eager, rtol=1e-12)
    return eager


@pytest.mark.parametrize("name", AT)
def test_scatter_reduce(name):
    wanted = X.copy()
    AT[name].at(wanted, (INDEX, np.arange(5)), SRC)
    got = both(lambda x, i, s: x.scatter_reduce(0, i, s, name), X, INDEX, SRC)
    np.testing.assert_allclose(got, wanted)


def test_the_mean_may_forget_what_was_there():
    def run(x, index, src):
        return x.scatter_reduce(0, index, src, "mean", include_self=False)

    index = np.array([1, 1, 3])
    got = both(run, np.array([9.0, 9.0, 5.0, 9.0]), index, np.array([1.0, 2.0, 7.0]))
    assert got.tolist() == [9.0, 1.5, 5.0, 7.0]


def test_scatter_keeps_the_last_value():
    wanted = X.copy()
    for row, src in zip(INDEX, SRC, strict=True):
        wanted[row, np.arange(5)] = src
    got = both(lambda x, i, s: engine.scatter(x, 0, i, s), X, INDEX, SRC)
    np.testing.assert_array_equal(got, wanted)


def test_a_smaller_index_leaves_the_rest():
    got = both(lambda x, i, s: x.scatter(1, i, s), X, np.array([[4, 0]]), np.array([[7.0, 8.0]]))
    wanted = X.copy()
    wanted[0, [4, 0]] = 7.0, 8.0
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("index", [[2, 0], [1, 1, 3], []])
def test_whole_slices(index):
    at, src = np.array(index, np.int64), SRC[: len(index)]
    added, copied, filled = X.copy(), X.copy(), X.copy()
    np.add.at(added, at, 2 * src)
    copied[at], filled[at] = src, 4.0
    got = both(lambda x, i, s: x.index_add(0, i, s, alpha=2), X, at, src)
    np.testing.assert_allclose(got, added)
    np.testing.assert_array_equal(both(lambda x, i, s: x.index_copy(0, i, s), X, at, src), copied)
    np.testing.assert_array_equal(both(lambda x, i: x.index_fill(0, i, 4.0), X, at), filled)


def test_open_batch_sizes():
    step = engine.jit(lambda x, index, src: x.scatter_add(1, index, src))
    for batch in (2, 3, 6):
        x, src = RNG.standard_normal((batch, 4)), RNG.standard_normal((batch, 3))
        index = RNG.integers(0, 4, (batch, 3))
        wanted = x.copy()
        np.add.at(wanted, (np.arange(batch)[:, None], index), src)
        got = step(*[engine.tensor(array) for array in (x, index, src)])
        np.testing.assert_allclose(got.numpy(), wanted)


def test_unsigned_values_wrap():
    x = engine.tensor(np.array([1, 2], np.uint8))
    got = x.index_add(0, engine.tensor([0]), engine.tensor(np.array([3], np.uint8)), alpha=-1)
    assert got.tolist() == [254, 2]


def test_every_written_value_has_a_gradient():
    x = engine.tensor([0.0, 0.0], requires_grad=True)
    src = engine.tensor([1.0, np.inf, 3.0], requires_grad=True)
    out = x.index_copy(0, engine.tensor([1, 0, 1]), src)
    assert out.tolist() == [np.inf, 3.0]
    (out * engine.tensor([1.0, 2.0])).sum().backward()
    assert src.grad.tolist() == [2.0, 1.0, 2.0]
    assert x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("zeros", [1, 2])
def test_products_have_gradients_at_zeros(zeros):
    src = engine.tensor([2.0, *[0.0] * zeros, 5.0], requires_grad=True)
    place = engine.zeros(zeros + 2, dtype=engine.int64)
    engine.tensor([3.0]).scatter_reduce(0, place, src, "prod").sum().backward()
    assert src.grad.tolist() == [0.0, *[30.0 if zeros == 1 else 0.0] * zeros, 0.0]


def test_products_in_place_keep_what_the_gradient_reads():
    src = engine.tensor([2.0], requires_grad=True)
    x = engine.tensor([3.0, 4.0]).clone()
    x.scatter_reduce_(0, engine.tensor([0]), src, "prod")
    x.sum().backward()
    assert src.grad.tolist() == [3.0]


def test_misuse():
    x, index, src = (engine.tensor(array) for array in (X, INDEX, SRC))
    with pytest.raises(IndexError, match="out of bounds"):
        x.scatter(0, index + 4, src)
    with pytest.raises(RuntimeError, match="larger than the values"):
        x.scatter(0, index, src[:2])
    with pytest.raises(RuntimeError, match="reduce is one of"):
        x.scatter_reduce(0, index, src, "median")
    with pytest.raises(RuntimeError, match="the index must be a vector"):
        x.index_add(0, index, src)
