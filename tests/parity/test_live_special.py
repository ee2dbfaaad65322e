"""Special functions and whole quotients against live PyTorch, values and gradients."""

import numpy as np
import pytest

import engine

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parity

RANGES = {
    "erfc": (-6, 9),
    "erfinv": (-0.9999, 0.9999),
    "lgamma": (-20, 40),
    "digamma": (-20, 40),
    "i0": (-60, 60),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 2e-9)])
@pytest.mark.parametrize("compiled", [False, True])
def test_special_function(name: str, dtype: str, tolerance: float, compiled: bool) -> None:
    x = np.random.default_rng(0).uniform(*RANGES[name], 3000).astype(dtype)
    theirs = torch.tensor(x.astype(np.float64), requires_grad=True)  # float32 has its own error
    wanted = getattr(torch, name)(theirs)
    wanted.sum().backward()

    def step(x: engine.Tensor) -> tuple[engine.Tensor, engine.Tensor]:
        out = getattr(engine, name)(x)
        return out, engine.autograd.grad(out.sum(), [x])[0]

    run = engine.jit(step) if compiled else step
    value, slope = run(engine.tensor(x, requires_grad=True))
    near = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(value.detach().numpy(), wanted.detach().numpy(), **near)
    np.testing.assert_allclose(slope.numpy(), theirs.grad.numpy(), **near)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_whole_quotients(dtype: str, mode: str) -> None:
    ends = np.iinfo(dtype)
    a, b = np.random.default_rng(0).integers(ends.min, ends.max, (2, 3000), dtype)
    b[(b == 0) | (a == ends.min)] = 3
    wanted = torch.div(torch.tensor(a), torch.tensor(b), rounding_mode=mode)
    found = engine.div(engine.tensor(a), engine.tensor(b), rounding_mode=mode)
    np.testing.assert_array_equal(found.numpy(), wanted.numpy())
