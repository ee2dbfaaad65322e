"""Cuts, turns and repeats whose places or counts are tensors, against NumPy's."""

import numpy as np
import pytest

import engine

A = np.arange(12.0).reshape(3, 4)


def test_narrow_from_a_place_that_the_step_is_given():
    step = engine.jit(lambda x, start: engine.narrow(x, 1, start, 2))
    for start in (0, 2):
        got = step(engine.tensor(A), engine.tensor(start))
        np.testing.assert_array_equal(got.numpy(), A[:, start : start + 2])


@pytest.mark.parametrize("counts", [[1, 0, 3], [2, 1, 1]])
def test_rows_repeated_by_counts(counts):
    wanted = np.repeat(A, counts, 0)

    def run(x, counts):
        return engine.repeat_interleave(x, counts, 0, output_size=4)

    given = engine.tensor(A), engine.tensor(counts)
    np.testing.assert_array_equal(run(*given).numpy(), wanted)
    np.testing.assert_array_equal(engine.jit(run)(*given).numpy(), wanted)


def test_sizes_that_depend_on_data_do_not_compile():
    x, counts = engine.tensor(A), engine.tensor([1, 2, 3])
    with pytest.raises(engine.Unsupported, match="the size depends on data"):
        engine.jit(lambda x, c: x.repeat_interleave(c, 0))(x, counts)
    with pytest.raises(engine.Unsupported, match="its values give the sizes"):
        engine.jit(lambda x, c: x.tensor_split(c))(x, counts)


@pytest.mark.parametrize("k", [-1, 0, 1, 2, 3])
def test_quarter_turns(k):
    np.testing.assert_array_equal(engine.rot90(engine.tensor(A), k).numpy(), np.rot90(A, k))


def test_misuse():
    with pytest.raises(IndexError, match="without dimensions"):
        engine.roll(engine.tensor(1.0), 0, 0)
    with pytest.raises(RuntimeError, match="-1 could be any size"):
        engine.zeros(0, 5).reshape(0, -1)
