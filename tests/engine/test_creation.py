"""Numbers and shapes in, new tensors out, against NumPy."""

import numpy as np
import pytest

import engine as torch


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ((5,), np.arange(5)),
        ((1, 8, 3), np.arange(1, 8, 3)),
        ((5, 0, -2), np.arange(5, 0, -2)),
        ((0, 1, 0.25), np.arange(0, 1, 0.25, np.float32)),
        ((3, 3), np.arange(0)),
    ],
)
def test_arange(args: tuple[float, ...], wanted: np.ndarray) -> None:
    found = torch.arange(*args).numpy()
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype
    compiled = torch.jit(lambda: torch.arange(*args))().numpy()
    np.testing.assert_array_equal(compiled, wanted)


def test_arange_cuts_fractions_for_integers() -> None:
    assert torch.arange(-0.9, 2.1, 2.0, dtype=torch.int8).tolist() == [0, 2]
    assert torch.arange(-0.9, 2.1, 2.0, dtype=torch.int64).tolist() == [0]
    with pytest.raises(RuntimeError):
        torch.arange(0, 5, -1)


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_spaced_values(steps: int) -> None:
    line = torch.linspace(-1, 3, steps)
    assert line.dtype == np.float32
    np.testing.assert_allclose(line.numpy(), np.linspace(-1, 3, steps), rtol=1e-6)
    curve = torch.logspace(0, 2, steps, base=2.0).numpy()
    np.testing.assert_allclose(curve, np.logspace(0, 2, steps, base=2.0), rtol=1e-6)


def test_ends_that_are_tensors_stay_open_in_a_step() -> None:
    step = torch.jit(lambda a, b: torch.linspace(a, b, 5))
    for low, high in ((0.0, 1.0), (2.0, -3.0)):
        found = step(torch.tensor(low), torch.tensor(high)).numpy()
        np.testing.assert_allclose(found, np.linspace(low, high, 5), rtol=1e-6)


def test_full_and_its_kin() -> None:
    assert torch.full((2,), 3).dtype == np.int64
    assert torch.full((2,), 3.0).dtype == np.float32
    assert torch.full((), True).dtype == np.bool_
    assert torch.scalar_tensor(-5, dtype=torch.uint8).item() == 251
    assert torch.zeros(2, 3).shape == (2, 3)
    like = torch.ones_like(torch.zeros(2, dtype=torch.int8))
    assert (like.dtype, like.tolist()) == (np.dtype(np.int8), [1, 1])
    np.testing.assert_array_equal(torch.eye(2, 3).numpy(), np.eye(2, 3))
    with pytest.raises(RuntimeError):
        torch.zeros(-1)


def test_placement_is_checked() -> None:
    assert torch.zeros(2, device="cpu").shape == (2,)
    with pytest.raises(RuntimeError):
        torch.zeros(2, device="cuda")
    with pytest.raises(TypeError):
        torch.zeros(2, place="here")


def test_data_is_copied_or_shared() -> None:
    array = np.zeros(3, np.float32)
    copied, shared = torch.tensor(array), torch.from_numpy(array)
    array[0] = 1
    assert copied[0].item() == 0
    assert shared[0].item() == 1
    assert torch.tensor([[1, 2]]).dtype == np.int64
    assert torch.tensor([1.0, 2.0]).dtype == np.float32
