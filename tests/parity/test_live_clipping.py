"""Gradients clipped by PyTorch and by the engine, equal gradients and norms out.
Asks PyTorch live: run by `make parity`."""

import math
from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.nn import utils

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (5,), (), (2, 0)]
ORDERS = [2.0, 1.0, 3.0, 0.5, math.inf, 0.0]
BOUNDS = [0.1, 1.0, 100.0, 0.0, math.inf]


def gradients() -> list[Any]:
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in SHAPES]


def pair(grads: list[Any]) -> tuple[list[Any], list[Any]]:
    """Parameters of both libraries with these gradients, and one without."""
    ours = [nn.Parameter(engine.ones(*g.shape)) for g in grads]
    theirs = [torch.nn.Parameter(torch.ones(g.shape)) for g in grads]
    for mine, other, grad in zip(ours, theirs, grads, strict=True):
        mine.grad, other.grad = engine.tensor(grad), torch.tensor(grad)
    return [*ours, nn.Parameter(engine.ones(2))], [*theirs, torch.nn.Parameter(torch.ones(2))]


def compare(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), 1e-6, 1e-8)
    assert ours[-1].grad is None


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bound", BOUNDS)
def test_norm(bound: float, order: float) -> None:
    grads = gradients()[: 3 if math.isinf(order) else 4]  # the largest of nothing is an error
    ours, theirs = pair(grads)
    found = utils.clip_grad_norm_(ours, bound, order)
    wanted = torch.nn.utils.clip_grad_norm_(theirs, bound, order)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    compare(ours, theirs)


@pytest.mark.parametrize("bound", BOUNDS)
def test_value(bound: float) -> None:
    ours, theirs = pair(gradients())
    utils.clip_grad_value_(iter(ours), bound)
    torch.nn.utils.clip_grad_value_(theirs, bound)
    compare(ours, theirs)


@pytest.mark.parametrize("backend", ["interpreter", "codegen"])
def test_inside_a_step(backend: str) -> None:
    start = np.arange(6, dtype=np.float32).reshape(2, 3)
    ours, theirs = nn.Parameter(engine.tensor(start)), torch.nn.Parameter(torch.tensor(start))
    opt, other = engine.optim.SGD([ours], lr=0.1), torch.optim.SGD([theirs], lr=0.1)

    @engine.jit(backend=backend)
    def step(x: Any, bound: float) -> Any:
        opt.zero_grad()
        ((ours * x) ** 2).sum().backward()
        norm = utils.clip_grad_norm_([ours], bound)
        opt.step()
        return norm

    rng = np.random.default_rng(1)
    for bound in (0.5, 2.0, 1e9, 0.01):
        x = rng.standard_normal((2, 3)).astype(np.float32)
        found = step(engine.tensor(x), bound)
        other.zero_grad()
        ((theirs * torch.tensor(x)) ** 2).sum().backward()
        wanted = torch.nn.utils.clip_grad_norm_([theirs], bound)
        other.step()
        assert float(found) == pytest.approx(float(wanted), rel=1e-5)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-5)
    assert len(step.programs) == 1


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_errors(broken: float) -> None:
    grads = gradients()
    grads[0][1, 1] = broken
    ours, theirs = pair(grads)
    for clip, params in ((utils, ours), (torch.nn.utils, theirs)):
        with pytest.raises(RuntimeError, match="finite"):
            clip.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
        clip.clip_grad_norm_(params, 1.0)
    compare(ours, theirs)
    assert float(utils.get_total_norm([])) == float(torch.nn.utils.get_total_norm([])) == 0.0


def test_vectors() -> None:
    ours, theirs = pair(gradients())
    found, wanted = utils.parameters_to_vector(ours), torch.nn.utils.parameters_to_vector(theirs)
    np.testing.assert_array_equal(found.detach().numpy(), wanted.detach().numpy())
    values = np.arange(found.shape[0], dtype=np.float32)
    utils.vector_to_parameters(engine.tensor(values), ours)
    torch.nn.utils.vector_to_parameters(torch.tensor(values), theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.detach().numpy(), other.detach().numpy())
    for clip, params in ((utils, ours), (torch.nn.utils, theirs)):
        with pytest.raises(TypeError):
            clip.vector_to_parameters([1.0], params)
        with pytest.raises(RuntimeError):
            clip.vector_to_parameters(clip.parameters_to_vector(params)[:4], params)
