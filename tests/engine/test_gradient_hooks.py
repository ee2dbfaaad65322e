"""Functions on gradients in: called, heeded and removed, eagerly and inside a step."""

import numpy as np
import pytest

import engine as torch
from engine import nn

X = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)


def test_hooks_of_tensors_change_what_flows_on() -> None:
    x = torch.tensor(X, requires_grad=True)
    x.register_hook(lambda grad: grad + 1)
    y = x * 3
    seen = []
    y.register_hook(lambda grad: seen.append(grad.numpy().copy()))
    handle = y.register_hook(lambda grad: grad * 10)
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    np.testing.assert_allclose(seen[0], 6 * X)
    np.testing.assert_allclose(y.grad.numpy(), 60 * X)
    np.testing.assert_allclose(x.grad.numpy(), 180 * X + 1)
    handle.remove()
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        torch.ones(1).register_hook(print)


def test_two_ways_through_one_hook() -> None:
    x = torch.tensor(X, requires_grad=True)
    y = x * 2
    z = y * y
    for tensor in (y, z):
        tensor.register_hook(lambda grad: grad * 2)
    (z.sum() + (y * 3).sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), (8 * X + 3) * 2 * 2)


@pytest.mark.parametrize("compiled", [False, True])
def test_hooks_of_modules(compiled: bool) -> None:
    layer = nn.Linear(3, 2)
    layer.register_full_backward_pre_hook(lambda module, grads: (grads[0] * 2,))
    layer.register_full_backward_hook(lambda module, inner, outer: (inner[0] + outer[0].sum(),))
    x = torch.tensor(X, requires_grad=True)

    def step(x: torch.Tensor) -> torch.Tensor:
        layer.zero_grad()
        (grad,) = torch.autograd.grad(layer(x).sum(), [x])
        return grad

    found = (torch.jit(step) if compiled else step)(x).numpy()
    wanted = 2 * layer.weight.detach().numpy().sum(0) + 2 * 4
    np.testing.assert_allclose(found, np.broadcast_to(wanted, (2, 3)), rtol=1e-5)


def test_a_step_follows_registration_and_removal() -> None:
    weight = nn.Parameter(torch.ones(3))

    @torch.jit
    def step(x: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad((weight * x).sum(), [weight])[0]

    x = torch.tensor(X[1])
    np.testing.assert_allclose(step(x).numpy(), X[1])
    handle = weight.register_hook(lambda grad: grad * 4)
    np.testing.assert_allclose(step(x).numpy(), 4 * X[1])
    handle.remove()
    np.testing.assert_allclose(step(x).numpy(), X[1])


@pytest.mark.parametrize("compiled", [False, True])
def test_an_optimizer_steps_inside_backward(compiled: bool) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def move(parameter: nn.Parameter) -> None:
        optimizer.step()
        optimizer.zero_grad()

    weight.register_post_accumulate_grad_hook(move)

    def step() -> None:
        (weight * weight).sum().backward()

    run = torch.jit(step) if compiled else step
    for _ in range(3):
        run()
    np.testing.assert_allclose(weight.detach().numpy(), 0.8**3, rtol=1e-6)
    assert weight.grad is None


def test_wrong_numbers_of_gradients() -> None:
    layer = nn.Linear(3, 2)
    layer.register_full_backward_hook(lambda module, inner, outer: (None, None))
    with pytest.raises(RuntimeError, match="invalid number of grad_input"):
        layer(torch.tensor(X, requires_grad=True)).sum().backward()
