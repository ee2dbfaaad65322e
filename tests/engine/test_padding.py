"""Padding in all modes against NumPy's."""

import numpy as np
import pytest

import engine
import engine.nn.functional as F

A = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pad", [(1, 2), (0, 3, 2, 1), (2, 0, 1, 1)])
def test_modes(mode, pad):
    pairs = [(0, 0)] * (4 - len(pad) // 2)
    pairs += [pad[at : at + 2] for at in range(len(pad) - 2, -1, -2)]
    x, pairs = (A, pairs) if len(pad) == 4 else (A[0], pairs[1:])
    wanted = np.pad(x, pairs, mode=MODES[mode])

    def run(x):
        return F.pad(x, pad, mode)

    np.testing.assert_array_equal(run(engine.tensor(x)).numpy(), wanted)
    np.testing.assert_array_equal(engine.jit(run)(engine.tensor(x)).numpy(), wanted)


def test_negative_padding_takes_away():
    got = F.pad(engine.tensor(A), (-1, 2, 1, -2), value=7.0)
    wanted = np.pad(A[:, :, :2, 1:], [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=7)
    np.testing.assert_array_equal(got.numpy(), wanted)


def test_a_changing_value_and_open_batch_sizes_compile():
    step = engine.jit(lambda x, value: F.pad(x, (1, 1), value=value))
    for batch, value in ((2, 1.5), (3, -2.0), (5, 0.25)):
        x = np.ones((batch, 3), np.float32)
        wanted = np.pad(x, [(0, 0), (1, 1)], constant_values=value)
        np.testing.assert_array_equal(step(engine.tensor(x), value).numpy(), wanted)


def test_repeated_elements_add_their_gradients():
    x = engine.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    F.pad(x, (2, 1), "reflect").sum().backward()
    assert x.grad.tolist() == [[1.0, 3.0, 2.0]]


def test_misuse():
    x = engine.tensor(A)
    with pytest.raises(RuntimeError, match="not a pair"):
        F.pad(x, (1,))
    with pytest.raises(RuntimeError, match="more than axis 3"):
        F.pad(x, (5, 0, 0, 0), "reflect")
    with pytest.raises(NotImplementedError, match="unrecognised padding mode"):
        F.pad(x, (1, 1), "mirror")
