"""Numbers in, special functions out, against Python's ``math`` and known values."""

import math
from collections.abc import Callable

import numpy as np
import pytest

import engine as torch


@pytest.mark.parametrize(
    ("name", "truth", "low", "high"),
    [("erfc", math.erfc, -5, 25), ("lgamma", math.lgamma, -9.7, 60), ("erf", math.erf, -4, 4)],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_values(
    name: str, truth: Callable[[float], float], low: float, high: float, compiled: bool
) -> None:
    x = np.random.default_rng(0).uniform(low, high, 500)
    run = torch.jit(getattr(torch, name)) if compiled else getattr(torch, name)
    np.testing.assert_allclose(
        run(torch.tensor(x)).numpy(), [truth(v) for v in x], rtol=5e-14, atol=2e-14
    )
    small = x.astype(np.float32)
    np.testing.assert_allclose(
        run(torch.tensor(small)).numpy(), [truth(v) for v in small.tolist()], rtol=2e-7, atol=1e-44
    )


def test_erfinv_turns_erf_back() -> None:
    x = np.concatenate([np.linspace(-0.999999, 0.999999, 401), [1e-20, 1 - 2**-53]])
    back = torch.erf(torch.erfinv(torch.tensor(x))).numpy()
    np.testing.assert_allclose(back, x, rtol=1e-14)
    edge = torch.erfinv(torch.tensor([-1.0, 1.0, 1.5, np.nan])).numpy()
    np.testing.assert_array_equal(edge, [-np.inf, np.inf, np.nan, np.nan])


def test_known_values() -> None:
    euler = 0.57721566490153286061
    found = torch.digamma(torch.tensor(np.array([1.0, 0.5, 2.0, -0.5]))).numpy()
    half = -euler - 2 * math.log(2)
    np.testing.assert_allclose(found, [-euler, half, 1 - euler, half + 2], rtol=1e-13)
    bessel = torch.i0(torch.tensor(np.array([0.0, 1.0, -1.0, 19.9, 20.1, 100.0]))).numpy()
    wanted = np.i0([0.0, 1.0, -1.0, 19.9, 20.1, 100.0])
    np.testing.assert_allclose(bessel, wanted, rtol=1e-14)
    assert torch.lgamma(torch.tensor([1.0, 2.0, 0.0, -1.0])).tolist() == [0, 0, math.inf, math.inf]
    assert math.isnan(torch.digamma(torch.tensor(-1.0)).item())


@pytest.mark.parametrize("name", ["erfc", "erfinv", "lgamma", "digamma", "i0"])
def test_gradients(name: str) -> None:
    """Against differences of the function itself, on both sides of every seam."""
    x = np.array([-0.93, -0.3, 0.2, 0.69, 0.71, 0.95])
    if name != "erfinv":
        x = np.concatenate([x, [-2.6, 1.3, 7.9, 9.95, 10.05, 19.9, 20.1]])
    function = getattr(torch, name)
    leaf = torch.tensor(x, requires_grad=True)
    function(leaf).sum().backward()
    assert leaf.grad is not None
    step = 1e-5
    high, low = (function(torch.tensor(x + s)).numpy() for s in (step, -step))
    np.testing.assert_allclose(leaf.grad.numpy(), (high - low) / (2 * step), rtol=1e-6, atol=1e-9)
