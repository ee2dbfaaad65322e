"""Gradients in, limited ones out; parameters in, one vector out: held to NumPy."""

import math
from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn
from engine.nn import utils

GRADS = [np.array([[3.0, -4.0]], np.float32), np.array([12.0], np.float32)]


def parameters() -> list[Any]:
    made = [nn.Parameter(engine.zeros(*grad.shape)) for grad in GRADS]
    for param, grad in zip(made, GRADS, strict=True):
        param.grad = engine.tensor(grad)
    return [*made, nn.Parameter(engine.zeros(2))]


@pytest.mark.parametrize(("order", "norm"), [(2, 13.0), (1, 19.0), (math.inf, 12.0)])
@pytest.mark.parametrize("bound", [1.3, 100.0])
def test_norm(order: float, norm: float, bound: float) -> None:
    params = parameters()
    assert float(utils.clip_grad_norm_(params, bound, order)) == pytest.approx(norm)
    for param, grad in zip(params, GRADS, strict=False):
        np.testing.assert_allclose(param.grad.numpy(), grad * min(bound / norm, 1.0), 1e-6)
    assert params[-1].grad is None


def test_value_and_one_tensor() -> None:
    params = parameters()
    utils.clip_grad_value_(params[0], 3.5)
    np.testing.assert_array_equal(params[0].grad.numpy(), [[3.0, -3.5]])
    assert float(utils.get_total_norm([p.grad for p in params[:2]], 1.0)) == 18.5


def test_norms_of_two_dtypes() -> None:
    double = nn.Parameter(engine.zeros(1, dtype=engine.float64))
    double.grad = engine.tensor([5.0], dtype=engine.float64)
    utils.clip_grad_norm_([*parameters()[:1], double], 1.0)
    assert double.grad.dtype == engine.float64
    assert float(double.grad) == pytest.approx(5.0 / math.sqrt(50.0), rel=1e-5)


@pytest.mark.parametrize("backend", ["interpreter", "codegen"])
def test_a_changed_bound_runs_the_same_program(backend: str) -> None:
    p = nn.Parameter(engine.zeros(3))
    opt = engine.optim.SGD([p], lr=1.0)

    @engine.jit(backend=backend)
    def step(x: Any, norm: float, value: float) -> Any:
        opt.zero_grad()
        (p * x).sum().backward()
        utils.clip_grad_value_([p], value)
        total = utils.clip_grad_norm_([p], norm)
        opt.step()
        return total

    x, at = np.array([1.0, -2.0, 5.0], np.float32), np.zeros(3)
    for norm, value in ((1.0, 9.0), (0.1, 3.0), (1e6, 0.5)):
        found = float(step(engine.tensor(x), norm, value))
        grad = np.clip(x, -value, value).astype(np.float64)
        size = float(np.linalg.norm(grad))
        assert found == pytest.approx(size, rel=1e-6)
        at -= grad * min(norm / (size + 1e-6), 1.0)
        np.testing.assert_allclose(p.detach().numpy(), at, rtol=1e-5)
    assert len(step.programs) == 1


def test_non_finite() -> None:
    params = parameters()
    params[1].grad = engine.tensor([math.inf])
    with pytest.raises(RuntimeError, match="not finite"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(params[0].grad.numpy(), GRADS[0])


def test_vectors() -> None:
    params = parameters()
    utils.vector_to_parameters(engine.arange(5.0), params)
    np.testing.assert_array_equal(params[0].detach().numpy(), [[0.0, 1.0]])
    np.testing.assert_array_equal(params[2].detach().numpy(), [3.0, 4.0])
    np.testing.assert_array_equal(utils.parameters_to_vector(params).detach().numpy(), range(5))
    with pytest.raises(TypeError, match="expected a Tensor"):
        utils.vector_to_parameters([0.0], params)  # type: ignore[arg-type]
