"""Parameters, gradients and hyper-parameters in, PyTorch's updates (in NumPy) out."""

import math
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
import engine.optim
from engine import nn

Array = np.ndarray[Any, Any]
START = np.array([1.0, -2.0, 3.0], np.float32)
GRADS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def run(kind: Any, **options: Any) -> tuple[Array, Any]:
    p = nn.Parameter(engine.tensor(START))
    opt = kind([p], **options)
    for grad in GRADS:
        p.grad = engine.tensor(grad)
        opt.step()
    return p.detach().numpy(), opt


def sgd(
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Array:
    p, buffer = START.astype(np.float64), None
    for g in GRADS.astype(np.float64):
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        p = p - lr * g
    return p


def adam(
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled: bool = False,
) -> Array:
    p, m, v, top = START.astype(np.float64), np.zeros(3), np.zeros(3), np.zeros(3)
    for t, g in enumerate(GRADS.astype(np.float64), 1):
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        top = np.maximum(top, v)
        spread = np.sqrt(top if amsgrad else v) / math.sqrt(1 - betas[1] ** t) + eps
        p = p - lr / (1 - betas[0] ** t) * m / spread
    return p


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
        {"lr": 0.1, "maximize": True},
    ],
    ids=str,
)
def test_sgd(options: dict[str, Any]) -> None:
    np.testing.assert_allclose(run(engine.optim.SGD, **options)[0], sgd(**options), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "amsgrad": True},
        {"lr": 0.1, "betas": (0.0, 0.9)},
    ],
    ids=str,
)
def test_adam(options: dict[str, Any]) -> None:
    np.testing.assert_allclose(run(engine.optim.Adam, **options)[0], adam(**options), rtol=2e-5)
    options.setdefault("weight_decay", 0.01)
    found = run(engine.optim.AdamW, **options)[0]
    np.testing.assert_allclose(found, adam(**options, decoupled=True), rtol=2e-5)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (engine.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (engine.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
        (engine.optim.Adam, {"lr": 0.1, "amsgrad": True}),
    ],
    ids=str,
)
def test_state_dict_resumes(kind: Any, options: dict[str, Any]) -> None:
    whole, _ = run(kind, **options)
    p = nn.Parameter(engine.tensor(START))
    opt = kind([p], **options)
    for grad in GRADS[:3]:
        p.grad = engine.tensor(grad)
        opt.step()
    q = nn.Parameter(p.detach().clone())
    other = kind([q], lr=9.0)
    other.load_state_dict(opt.state_dict())
    assert other.param_groups[0]["lr"] == 0.1
    for grad in GRADS[3:]:
        q.grad = engine.tensor(grad)
        other.step()
    np.testing.assert_allclose(q.detach().numpy(), whole, rtol=1e-6)


def test_state_dict_keys_are_pytorchs() -> None:
    _, opt = run(engine.optim.Adam, lr=0.1)
    state = opt.state_dict()
    assert set(state) == {"state", "param_groups"}
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert state["param_groups"][0]["params"] == [0]
    _, opt = run(engine.optim.SGD, lr=0.1, momentum=0.9)
    assert set(opt.state_dict()["state"][0]) == {"momentum_buffer"}


def test_wrong_state_leaves_all_as_it_was() -> None:
    _, opt = run(engine.optim.Adam, lr=0.1)
    state = opt.state_dict()
    state["param_groups"][0]["lr"] = 5.0
    state["state"][0]["exp_avg"] = engine.zeros(7)
    with pytest.raises(ValueError, match="exp_avg"):
        opt.load_state_dict(state)
    assert opt.param_groups[0]["lr"] == 0.1


def test_groups_missing_gradients_and_closure() -> None:
    p, q = nn.Parameter(engine.ones(2)), nn.Parameter(engine.ones(2))
    opt = engine.optim.SGD([{"params": [p]}, {"params": [q], "lr": 1.0}], lr=0.1)
    p.grad = engine.ones(2)
    opt.step()
    assert float(p[0]) == pytest.approx(0.9)
    assert float(q[0]) == 1.0

    def closure() -> Any:
        opt.zero_grad()
        loss = (q * q).sum()
        loss.backward()
        return loss

    assert float(opt.step(closure)) == 2.0
    assert float(q[0]) == -1.0


def test_bad_arguments() -> None:
    p = nn.Parameter(engine.ones(2))
    for build, text in (
        (lambda: engine.optim.SGD([], lr=0.1), "empty parameter list"),
        (lambda: engine.optim.SGD([p], lr=-1.0), "Invalid learning rate"),
        (lambda: engine.optim.SGD([p], lr=1.0, nesterov=True), "Nesterov"),
        (lambda: engine.optim.Adam([p], betas=(1.0, 0.9)), "beta parameter at index 0"),
        (lambda: engine.optim.SGD([{"params": p}, {"params": p}]), "more than one parameter group"),
        (lambda: engine.optim.SGD([p * 2], lr=1.0), "non-leaf"),
    ):
        with pytest.raises(ValueError, match=text):
            build()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        engine.optim.SGD([p, p], lr=1.0)


def test_changed_hyper_parameters_run_the_same_program() -> None:
    model = nn.Linear(3, 2)
    opt = engine.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @engine.jit(backend="interpreter")
    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        return loss

    x, y = engine.randn(5, 3), engine.randn(5, 2)
    twin = nn.Linear(3, 2)
    twin.load_state_dict(model.state_dict())
    other = engine.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for lr, momentum in ((0.1, 0.9), (0.05, 0.9), (0.2, 0.5), (0.0, 0.1)):
        for optimizer in (opt, other):
            optimizer.param_groups[0].update(lr=lr, momentum=momentum)
        found = step(x, y)
        other.zero_grad()
        wanted = F.mse_loss(twin(x), y)
        wanted.backward()
        other.step()
        assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    np.testing.assert_allclose(
        model.weight.detach().numpy(), twin.weight.detach().numpy(), rtol=1e-5
    )
    assert len(step.programs) == 1
    opt.param_groups[0]["weight_decay"] = 0.1
    step(x, y)
    assert len(step.programs) == 2
