"""``x[index] = value`` against NumPy's, eager and inside ``jit``."""

import numpy as np
import pytest

import engine

A = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
ROWS, COLUMNS = np.array([0, 2, -1]), np.array([1, 4, 0])
INDICES = {
    "number": 1,
    "last": (..., -1),
    "slice": (slice(1, None, 2), slice(None), 2),
    "new axis": (None, slice(1, 3)),
    "list": ([0, 2],),
    "arrays": (ROWS, COLUMNS),
    "arrays apart": (ROWS, slice(None), np.array([0, 1, 2])),
    "array and slice": (slice(1, 3), COLUMNS),
    "grid": (ROWS[:, None], COLUMNS),
}


@pytest.mark.parametrize("name", INDICES)
def test_assignment(name):
    index = INDICES[name]
    wanted = A.copy()
    value = np.random.default_rng(1).standard_normal(wanted[index].shape).astype(np.float32)
    wanted[index] = value

    def run(x, value):
        out = x.clone()
        out[index] = value
        return out

    given = engine.tensor(A), engine.tensor(value)
    np.testing.assert_array_equal(run(*given).numpy(), wanted)
    np.testing.assert_array_equal(engine.jit(run)(*given).numpy(), wanted)


def test_a_compiled_step_writes_into_its_argument():
    x = engine.tensor(A)

    @engine.jit
    def step(x, mask, i, j, v):
        x[0] = 2.0
        x[mask] = 0
        x[i, j] += v

    wanted = A.copy()
    mask = wanted > 1
    step(x, *(engine.tensor(given) for given in (mask, ROWS, COLUMNS, np.float32(3))))
    wanted[0] = 2.0
    wanted[mask] = 0
    wanted[ROWS, COLUMNS] += 3
    np.testing.assert_array_equal(x.numpy(), wanted)


def test_open_batch_sizes():
    @engine.jit
    def step(x, mask, j):
        out = x * 1
        out[mask] = -1.0
        out[:, j] += 1.0
        return out

    for batch in (2, 3, 6):
        x = np.arange(batch * 4.0).reshape(batch, 4)
        mask, j = x > 5, np.array([2, 0])
        got = step(*(engine.tensor(given) for given in (x, mask, j)))
        wanted = np.where(mask, -1.0, x)
        wanted[:, j] += 1.0
        np.testing.assert_array_equal(got.numpy(), wanted)


def test_gradients_of_what_was_there_and_what_was_written():
    x = engine.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = engine.tensor([5.0, 6.0], requires_grad=True)
    y = x * 2
    y[engine.tensor([2, 0])] = v
    (y * engine.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [0.0, 20.0, 0.0]
    assert v.grad.tolist() == [100.0, 1.0]


def test_index_put_adds_as_often_as_a_place_is_named():
    x, index = engine.zeros(3), (engine.tensor([1, 1, 2]),)
    values = engine.tensor([1.0, 2.0, 4.0])
    assert engine.index_put(x, index, values, accumulate=True).tolist() == [0.0, 3.0, 4.0]
    assert engine.index_put(x, index, values).tolist() == [0.0, 2.0, 4.0]
    assert x.index_put_(index, values) is x


def test_masks_write_values_in_order():
    x = engine.tensor(A)
    wanted = A.copy()
    values = np.arange((A > 0).sum(), dtype=np.float32)
    x[x > 0] = engine.tensor(values)
    wanted[wanted > 0] = values
    np.testing.assert_array_equal(x.numpy(), wanted)


def test_misuse():
    x = engine.tensor(A)
    with pytest.raises(IndexError, match="out of bounds"):
        x[[4]] = 0.0
    with pytest.raises(IndexError, match="does not match"):
        x[engine.tensor([True, False])] = 0.0
    with pytest.raises(engine.Unsupported, match="by a mask inside jit"):
        engine.jit(assign)(x, x > 0, engine.ones(7))


def assign(x, mask, values):
    x[mask] = values
