"""Arguments at the ends of a function's domain in, the gradients that its derivative has there."""

import math

import numpy as np
import pytest

import engine

INF, NAN = math.inf, math.nan
ENDS = {
    "abs": ([-2.0, 0.0, NAN, INF], [-1.0, 0.0, 0.0, 1.0]),
    "logit": ([0.0, 0.5, 1.0, 2.0], [INF, 4.0, INF, NAN]),
    "erfinv": ([-1.0, 0.0, 2.0, NAN], [INF, math.sqrt(math.pi) / 2, NAN, NAN]),
    "i0": ([-2000.0, 0.0, 2000.0, INF], [-INF, 0.0, INF, INF]),
    "lgamma": ([1.0, INF, -INF, NAN], [-0.5772157, INF, NAN, NAN]),
    "asin": ([-1.0, 0.0, 1.0, 2.0], [INF, 1.0, INF, NAN]),
    "acos": ([-1.0, 0.0, 1.0, 2.0], [-INF, -1.0, -INF, NAN]),
    "acosh": ([1.0, 2.0, 1.5, INF], [INF, 3**-0.5, 1.25**-0.5, 0.0]),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", sorted(ENDS))
def test_gradient(name: str, compiled: bool) -> None:
    given, wanted = ENDS[name]

    def step(x):
        return engine.autograd.grad(getattr(engine, name)(x).sum(), [x])[0]

    x = engine.tensor(given, dtype=engine.float64, requires_grad=True)
    with np.errstate(all="ignore"):
        found = (engine.jit(step) if compiled else step)(x).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_clamp_passes_no_gradient_at_nan_and_keeps_it() -> None:
    x = engine.tensor([NAN, 0.0, 2.0, -1.0], requires_grad=True)
    out = x.clamp(0.0, 1.0)
    np.testing.assert_array_equal(out.detach().numpy(), np.float32([NAN, 0.0, 1.0, 0.0]))
    (found,) = engine.autograd.grad(out.sum(), [x])
    assert found.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_copysign_has_the_quotient_of_result_and_argument() -> None:
    x = engine.tensor([0.0, 3.0, -INF], requires_grad=True)
    out = engine.copysign(x, engine.tensor([-1.0, -1.0, 1.0]))
    assert out.tolist() == [0.0, -3.0, INF]
    (found,) = engine.autograd.grad(out.sum(), [x])
    np.testing.assert_array_equal(found.numpy(), np.float32([0.0, -1.0, NAN]))
