"""Gradients of tensors: against finite differences, PyTorch's rules of history, and its errors."""

import numpy as np
import pytest

import engine

RNG = np.random.default_rng(1)
FUNCTIONS = {
    "arithmetic": lambda x: (x * 2 - 1 / (x + 3) + x**2 * x.exp()).sum(),
    "power": lambda x: ((x + 3) ** 1.7 + (x + 3) ** -0.5 + 2.0**x).sum(),
    "sigmoid": lambda x: (x.sigmoid() * x.tanh()).sum(),
    "softmax": lambda x: (x.softmax(1) * x.log_softmax(0)).sum(),
    "reductions": lambda x: x.mean() * x.var() + x.std(0).sum() + x.amax(1).prod(0),
    "logsumexp": lambda x: x.logsumexp(1).sum() + x.norm(),
    "matmul": lambda x: (x @ x.T @ x).sum() + (x[0] @ x[1]),
    "shapes": lambda x: (x.view(2, -1).T.flatten()[1:] * x.permute(1, 0).reshape(-1)[:-1]).sum(),
    "index": lambda x: (x[1:, ::2] * x[0, 1] + x[-1, None, :2]).sum(),
    "select": lambda x: engine.where(x > 0.1, x * x, -x).clamp(-0.3, 1.2).sum(),
    "cat": lambda x: (engine.cat([x, x * x], 1) * engine.stack([x, x], 1).view(3, 8)).sum(),
    "in_place": lambda x: written(x).sum(),
}


def written(x):
    y = x * 2
    y += x
    y *= y
    y[0] = x[1] * 3
    y[1:, ::2].mul(2)
    return y * x


def numeric(function, x, step=1e-6):
    grad = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][at] += step
        moved[1][at] -= step
        up, down = (function(engine.tensor(m)).item() for m in moved)
        grad[at] = (up - down) / (2 * step)
    return grad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_is_the_difference_quotient(name):
    data = RNG.standard_normal((3, 4))
    x = engine.tensor(data, requires_grad=True)
    FUNCTIONS[name](x).backward()
    np.testing.assert_allclose(x.grad.numpy(), numeric(FUNCTIONS[name], data), rtol=1e-5, atol=1e-6)


def test_gradients_accumulate_and_have_memory_of_their_own():
    x = engine.ones(2, requires_grad=True)
    y = engine.ones(2, requires_grad=True)
    (x + y).sum().backward()
    x.grad.add_(1)
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    assert y.grad.tolist() == [1.0, 1.0]


def test_history_ends_at_detach_and_no_grad():
    x = engine.tensor(3.0, requires_grad=True)
    (x * x.detach()).backward()
    assert x.grad.item() == 3.0
    with engine.no_grad():
        assert not (x * 2).requires_grad
        with engine.enable_grad():
            assert (x * 2).requires_grad
    assert not no_history(x).requires_grad
    assert engine.is_grad_enabled()


@engine.no_grad()
def no_history(x):
    return x * 2


def test_second_derivative():
    x = engine.tensor(2.0, requires_grad=True)
    (g,) = engine.autograd.grad(x**4, x, create_graph=True)
    (h,) = engine.autograd.grad(g, x)
    assert (g.item(), h.item()) == (32.0, 48.0)


def test_cotangent_of_a_tensor():
    x = engine.ones(2, requires_grad=True)
    (x * 2).backward(engine.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]


def test_leaves_and_computed_tensors():
    x = engine.ones(2, requires_grad=True)
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    y.sum().backward()
    assert y.grad is None
    z = y.detach().requires_grad_()
    (z * 3).sum().backward()
    assert z.grad.tolist() == [3.0, 3.0]


def test_graph_is_freed_unless_retained():
    x = engine.ones((), requires_grad=True)
    y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(engine.AutogradError, match="second time"):
        y.backward()


def test_unused_input():
    x, y = engine.ones((), requires_grad=True), engine.ones((), requires_grad=True)
    assert engine.autograd.grad(x * 2, [x, y], allow_unused=True)[1] is None
    with pytest.raises(engine.AutogradError, match="not used"):
        engine.autograd.grad(x * 2, [x, y])


def write_needed_value():
    x = engine.ones(2, requires_grad=True)
    loss = (x * x).sum()
    with engine.no_grad():
        x.add_(1)
    loss.backward()


def write_leaf():
    x = engine.ones(2, requires_grad=True)
    x += 1


MISUSES = {
    "no_scalar": (lambda: engine.ones(2, requires_grad=True).exp().backward(), "scalar"),
    "no_history": (lambda: engine.ones(()).backward(), "does not require grad"),
    "write_needed_value": (write_needed_value, "modified by an inplace"),
    "write_leaf": (write_leaf, "leaf"),
    "integers": (lambda: engine.tensor([1], requires_grad=True), "only float"),
    "numpy": (lambda: engine.ones(2, requires_grad=True).numpy(), "requires grad"),
    "flag": (lambda: (engine.ones(1, requires_grad=True) * 2).requires_grad_(False), "leaf"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_names_the_users_line(name):
    misuse, text = MISUSES[name]
    with pytest.raises(RuntimeError, match=text) as caught:
        misuse()
    lines = str(caught.value).splitlines()
    assert "test_autograd.py:" in lines[0]
    assert len(lines) <= 12


def test_write_that_nothing_needs_is_allowed():
    x = engine.ones(2, requires_grad=True)
    loss = (x * 3).sum()
    with engine.no_grad():
        x.add_(1)
    loss.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_transforms():
    value, grad = engine.value_and_grad(lambda w: (w * w).sum())(engine.tensor([1.0, 2.0]))
    assert value.item() == 5.0
    assert grad.tolist() == [2.0, 4.0]
    third = engine.grad(engine.grad(engine.grad(lambda x: x**4)))
    assert third(engine.tensor(2.0)).item() == 48.0
    grads, aux = engine.grad(lambda a, b: (a * b, "aux"), (0, 1), has_aux=True)(
        engine.tensor(2.0), engine.tensor(3.0)
    )
    assert [g.item() for g in grads] == [3.0, 2.0]
    assert aux == "aux"
