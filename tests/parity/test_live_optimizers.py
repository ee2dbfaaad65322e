"""The same gradients into PyTorch's optimizers and the engine's, equal parameters and slots out.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

STEPS = 20
GRADS = np.random.default_rng(0).standard_normal((STEPS, 2, 3)).astype(np.float32)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("Adamax", {"weight_decay": 0.1}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.9), "maximize": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "momentum_decay": 0.5, "betas": (0.7, 0.9), "maximize": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": (0.5, 0.7), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "alpha": 0.8}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr_decay": 0.2, "initial_accumulator_value": 0.3, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.3, "etas": (0.3, 1.7), "step_sizes": (0.1, 0.5), "maximize": True}),
    ("ASGD", {"lr": 0.1}),
    ("Adafactor", {"lr": 0.1}),
    ("Adafactor", {"eps": (1e-3, 0.1), "d": 2.0, "weight_decay": 0.1, "beta2_decay": -0.5}),
    ("Adafactor", {"lr": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 5.0, "lambd": 0.1, "alpha": 0.5, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("mode", ["eager", "interpreter", "codegen"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_steps(kind: str, options: dict[str, Any], mode: str) -> None:
    start = np.arange(-2, 4, dtype=np.float32).reshape(2, 3)
    ours, theirs = nn.Parameter(engine.tensor(start)), torch.nn.Parameter(torch.tensor(start))
    opt = getattr(engine.optim, kind)([ours], **options)
    other = getattr(torch.optim, kind)([theirs], **options)

    def step(grad: Any) -> None:
        opt.zero_grad()
        (ours * grad).sum().backward()
        opt.step()

    run: Any = step if mode == "eager" else engine.jit(step, backend=mode)
    for at, grad in enumerate(GRADS):
        for optimizer in (opt, other):
            optimizer.param_groups[0]["lr"] *= 0.9 if at else 1.0
        run(engine.tensor(grad))
        theirs.grad = torch.tensor(grad)
        other.step()
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-5, 1e-6)
    if mode != "eager":
        assert len(run.programs) == 1
    mine, wanted = opt.state_dict(), other.state_dict()
    assert set(mine["state"][0]) == set(wanted["state"][0])
    for name, value in wanted["state"][0].items():
        np.testing.assert_allclose(mine["state"][0][name].numpy(), value.numpy(), 1e-5, 1e-6)
    opt.load_state_dict(wanted)
    other.load_state_dict(
        {
            "state": {0: {k: torch.tensor(v.numpy().copy()) for k, v in mine["state"][0].items()}},
            "param_groups": wanted["param_groups"],
        }
    )


@pytest.mark.parametrize("shape", [(), (4,), (2, 1, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adafactor_of_any_rank(shape: tuple[int, ...], dtype: str) -> None:
    grads = np.random.default_rng(0).standard_normal((5, *shape))
    ours = nn.Parameter(engine.ones(*shape, dtype=getattr(engine, dtype)))
    theirs = torch.nn.Parameter(torch.ones(shape, dtype=getattr(torch, dtype)))
    opt, other = engine.optim.Adafactor([ours]), torch.optim.Adafactor([theirs])
    for grad in grads:
        ours.grad = engine.tensor(grad, dtype=ours.dtype)
        theirs.grad = torch.tensor(grad, dtype=theirs.dtype)
        opt.step()
        other.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-5, 1e-6)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop"])
@pytest.mark.parametrize("mode", ["eager", "interpreter"])
def test_rate_in_a_tensor(kind: str, mode: str) -> None:
    ours, theirs = nn.Parameter(engine.ones(2, 3)), torch.nn.Parameter(torch.ones(2, 3))
    rate, other_rate = engine.tensor(0.1), torch.tensor(0.1)
    opt = getattr(engine.optim, kind)([ours], lr=rate)
    other = getattr(torch.optim, kind)([theirs], lr=other_rate)
    schedule = engine.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    wanted = torch.optim.lr_scheduler.ExponentialLR(other, 0.5)

    def step(grad: Any) -> None:
        opt.zero_grad()
        (ours * grad).sum().backward()
        opt.step()

    run: Any = step if mode == "eager" else engine.jit(step, backend=mode)
    for grad in GRADS[:4]:
        run(engine.tensor(grad))
        theirs.grad = torch.tensor(grad)
        other.step()
        schedule.step()
        wanted.step()
        assert float(rate) == pytest.approx(float(other_rate))
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-5, 1e-6)
