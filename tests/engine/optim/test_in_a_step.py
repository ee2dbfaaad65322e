"""Compiled steps that do more than one forward and one update in, what eager ones give out."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
import engine.optim
from engine import nn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 8, 3)).astype(np.float32)
Y = RNG.standard_normal((3, 8, 2)).astype(np.float32)


def network() -> tuple[Any, Any]:
    engine.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    return model, engine.optim.Adam(model.parameters(), lr=0.05)


def weights(model: Any) -> Any:
    return [p.detach().numpy() for p in model.parameters()]


@pytest.mark.parametrize("backend", ["interpreter", "codegen"])
def test_two_halves_are_the_whole_batch(backend: str) -> None:
    halves, half_opt = network()
    whole, whole_opt = network()

    @engine.jit(backend=backend)
    def accumulated(x: Any, y: Any) -> Any:
        half_opt.zero_grad()
        first = F.mse_loss(halves(x[:4]), y[:4]) / 2
        first.backward()
        second = F.mse_loss(halves(x[4:]), y[4:]) / 2
        second.backward()
        half_opt.step()
        return first + second

    for x, y in zip(X, Y, strict=True):
        found = accumulated(engine.tensor(x), engine.tensor(y))
        whole_opt.zero_grad()
        loss = F.mse_loss(whole(engine.tensor(x)), engine.tensor(y))
        loss.backward()
        whole_opt.step()
        assert float(found) == pytest.approx(float(loss), rel=1e-5)
        for mine, wanted in zip(weights(halves), weights(whole), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-6)
    assert len(accumulated.programs) == 1


@pytest.mark.parametrize("backend", ["interpreter", "codegen"])
def test_gradients_gathered_over_calls(backend: str) -> None:
    """Backward in one compiled step, the update in another: gradients live between calls."""
    model, opt = network()
    twin, other = network()

    @engine.jit(backend=backend)
    def gather(x: Any, y: Any) -> None:
        (F.mse_loss(model(x), y) / len(X)).backward()

    @engine.jit(backend=backend)
    def apply() -> None:
        opt.step()

    for _ in range(3):
        opt.zero_grad(set_to_none=False)
        other.zero_grad()
        for x, y in zip(X, Y, strict=True):
            gather(engine.tensor(x), engine.tensor(y))
            (F.mse_loss(twin(engine.tensor(x)), engine.tensor(y)) / len(X)).backward()
        apply()
        other.step()
    for mine, wanted in zip(weights(model), weights(twin), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-6)
    assert len(gather.programs) <= 2  # without a gradient from before, and with one
    assert len(apply.programs) == 1


def test_zeroed_gradients_forget_what_is_not_finite() -> None:
    p = nn.Parameter(engine.ones(2))
    opt = engine.optim.SGD([p], lr=1.0)
    p.grad = engine.tensor([float("nan"), float("inf")])
    held = p.grad
    opt.zero_grad(set_to_none=False)
    assert p.grad is held
    np.testing.assert_array_equal(held.numpy(), [0.0, 0.0])


def test_hooks_run_around_the_step() -> None:
    p = nn.Parameter(engine.ones(2))
    opt = engine.optim.SGD([p], lr=1.0)
    seen: list[Any] = []
    before = opt.register_step_pre_hook(lambda o, args, kwargs: seen.append((o, args, kwargs)))
    after = opt.register_step_post_hook(lambda o, args, kwargs: seen.append(float(p[0])))
    p.grad = engine.ones(2)
    opt.step()
    assert seen == [(opt, (opt,), {}), 0.0]
    before.remove()
    opt.step()
    assert seen[2:] == [-1.0]
    after.remove()
    opt.step()
    assert len(seen) == 3


def test_a_hook_may_change_the_arguments() -> None:
    p = nn.Parameter(engine.ones(2))
    opt = engine.optim.SGD([p], lr=1.0)
    with opt.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 3.0), kwargs)):
        assert opt.step() == 3.0
    with (
        opt.register_step_pre_hook(lambda o, args, kwargs: 3.0),
        pytest.raises(RuntimeError, match="step hook must return"),
    ):
        opt.step()


def test_a_new_hook_is_part_of_the_compiled_step() -> None:
    p = nn.Parameter(engine.ones(2))
    opt = engine.optim.SGD([p], lr=1.0)

    def halve(optimizer: Any, args: Any, kwargs: Any) -> None:
        with engine.no_grad():
            p.grad.mul_(0.5)

    @engine.jit(backend="interpreter")
    def step() -> None:
        opt.zero_grad()
        p.sum().backward()
        opt.step()

    step()
    assert float(p[0]) == 0.0
    handle = opt.register_step_pre_hook(halve)
    step()
    assert float(p[0]) == -0.5
    handle.remove()
    step()
    assert float(p[0]) == -1.5


class Signs(engine.optim.Optimizer):
    """As people write them for PyTorch: a step of its own, and state that begins in it."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        with engine.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if not state:
                        state.update(step=0, mean=engine.zeros_like(p))
                    state["step"] += 1
                    state["mean"].mul_(0.5).add_(p.grad, alpha=0.5)
                    p.add_(state["mean"].sign(), alpha=-group["lr"])


def test_an_optimizer_of_the_users() -> None:
    p = nn.Parameter(engine.ones(2))
    opt = Signs([p], lr=0.5)
    p.grad = engine.tensor([3.0, -0.1])
    opt.step()
    np.testing.assert_allclose(p.detach().numpy(), [0.5, 1.5])
    q = nn.Parameter(engine.ones(2))
    other = Signs([q], lr=1.0)
    other.load_state_dict(opt.state_dict())
    assert other.state[q]["step"] == 1
    assert other.state[q]["mean"] is not opt.state[p]["mean"]
    np.testing.assert_allclose(other.state[q]["mean"].numpy(), [1.5, -0.05])


def test_switches() -> None:
    p = nn.Parameter(engine.ones(2))
    opt = engine.optim.AdamW([p], foreach=True, capturable=True)
    assert opt.state_dict()["param_groups"][0]["foreach"] is True
    with pytest.raises(engine.Unsupported, match="differentiable"):
        engine.optim.SGD([p], differentiable=True)
    state = opt.state_dict()
    state["param_groups"][0].update(differentiable=True, lr=7.0)
    with pytest.raises(engine.Unsupported, match="differentiable"):
        opt.load_state_dict(state)
    assert opt.param_groups[0]["lr"] == 1e-3


def test_a_state_from_before_the_first_step_begins_anew() -> None:
    fresh, trained = nn.Parameter(engine.ones(2)), nn.Parameter(engine.ones(2))
    for kind, name in ((engine.optim.Adam, "exp_avg"), (engine.optim.SGD, "momentum_buffer")):
        options = {"momentum": 0.9} if kind is engine.optim.SGD else {}
        empty = kind([fresh], **options).state_dict()
        empty["state"] = {}
        opt = kind([trained], **options)
        trained.grad = engine.ones(2)
        opt.step()
        held = opt.state[trained][name]
        opt.load_state_dict(empty)
        assert opt.state[trained][name] is held  # compiled steps keep their memory
        np.testing.assert_array_equal(held.numpy(), [0.0, 0.0])
