"""Optimizers and schedules in, what their formulas say (in plain Python) out."""

import math
from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn
from engine.optim import lr_scheduler

KINDS = [
    *("Adamax", "NAdam", "RAdam", "Lion", "RMSprop", "Adagrad", "Adadelta", "Rprop", "ASGD"),
    "Adafactor",
]
GRADS = np.random.default_rng(0).standard_normal((6, 3))


def formula(kind: str, lr: float) -> Any:
    """The parameters after GRADS from ones, in float64."""
    p, a, b = np.ones(3), np.zeros(3), np.zeros(3)
    for t, g in enumerate(GRADS, 1):
        if kind == "RMSprop":
            a = 0.99 * a + 0.01 * g * g
            p = p - lr * g / (np.sqrt(a) + 1e-8)
        elif kind == "Adagrad":
            a = a + g * g
            p = p - lr * g / (np.sqrt(a) + 1e-10)
        elif kind == "Adadelta":
            a = 0.9 * a + 0.1 * g * g
            step = np.sqrt(b + 1e-6) / np.sqrt(a + 1e-6) * g
            b = 0.9 * b + 0.1 * step * step
            p = p - lr * step
        elif kind == "Adafactor":
            a = a + (g * g - a) * t**-0.8
            size = max(1e-3, np.sqrt(np.mean(p * p))) * min(lr, t**-0.5)
            step = g / np.sqrt(a)
            p = p - size * step / max(1.0, np.sqrt(np.mean(step * step)))
        else:  # Lion
            p = p - lr * np.sign(0.9 * a + 0.1 * g)
            a = 0.99 * a + 0.01 * g
    return p


def trained(kind: str, compiled: bool) -> tuple[Any, Any]:
    p = nn.Parameter(engine.ones(3))
    opt = getattr(engine.optim, kind)([p], lr=0.1)
    schedule = lr_scheduler.LambdaLR(opt, lambda epoch: 1.0)

    def step(grad: Any) -> None:
        opt.zero_grad()
        (p * grad).sum().backward()
        opt.step()

    run: Any = engine.jit(step, backend="interpreter") if compiled else step
    for grad in GRADS:
        run(engine.tensor(grad.astype(np.float32)))
        schedule.step()
    return p.detach().numpy(), run


@pytest.mark.parametrize("kind", ["RMSprop", "Adagrad", "Adadelta", "Lion", "Adafactor"])
def test_formula(kind: str) -> None:
    np.testing.assert_allclose(trained(kind, False)[0], formula(kind, 0.1), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_is_eager(kind: str) -> None:
    found, run = trained(kind, True)
    np.testing.assert_allclose(found, trained(kind, False)[0], rtol=1e-5)
    assert len(run.programs) == 1


def test_rates() -> None:
    opt = engine.optim.SGD([nn.Parameter(engine.ones(1))], lr=1.0)
    schedule = lr_scheduler.CosineAnnealingLR(opt, 4)
    for epoch in range(5):
        wanted = (1 + math.cos(math.pi * epoch / 4)) / 2
        assert opt.param_groups[0]["lr"] == pytest.approx(wanted, abs=1e-12)
        schedule.step()


def test_a_schedule_resumes() -> None:
    def build() -> Any:
        opt = engine.optim.SGD([nn.Parameter(engine.ones(1))], lr=1.0)
        parts = [lr_scheduler.LinearLR(opt, 0.1), lr_scheduler.ExponentialLR(opt, 0.5)]
        return lr_scheduler.SequentialLR(opt, parts, [3])

    whole, part, other = build(), build(), build()
    for _ in range(4):
        part.step()
    other.optimizer.load_state_dict(part.optimizer.state_dict())
    other.load_state_dict(part.state_dict())
    for _ in range(4):
        other.step()
    for _ in range(8):
        whole.step()
    assert other.get_last_lr() == pytest.approx(whole.get_last_lr())


def test_a_schedule_does_not_move_inside_a_step() -> None:
    opt = engine.optim.SGD([nn.Parameter(engine.ones(1))], lr=1.0)
    schedule = lr_scheduler.StepLR(opt, 1)

    def move() -> None:
        schedule.step()

    with pytest.raises(engine.Unsupported, match="inside jit"):
        engine.jit(move, backend="interpreter")()
    assert opt.param_groups[0]["lr"] == 1.0


def test_adafactor_of_a_matrix_keeps_rows_and_columns() -> None:
    grad = np.array([[1.0, 2.0, 2.0], [3.0, 0.5, 4.0]])
    p = nn.Parameter(engine.ones(2, 3, dtype=engine.float64))
    opt = engine.optim.Adafactor([p], lr=0.1)
    p.grad = engine.tensor(grad, dtype=engine.float64)
    opt.step()
    rows, columns = (grad**2).mean(1, keepdims=True), (grad**2).mean(0, keepdims=True)
    step = grad / np.sqrt(rows * columns / rows.mean())
    wanted = 1.0 - 0.1 * step / max(1.0, np.sqrt(np.mean(step**2)))
    np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=1e-12)
    shapes = {name: tuple(slot.shape) for name, slot in opt.state[p].items()}
    assert shapes == {"step": (), "row_var": (2, 1), "col_var": (1, 3)}


class Decay:
    """A rule that remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, epoch: int) -> float:
        self.asked += 1
        return 0.5**epoch


def test_rules_with_attributes_are_part_of_the_state() -> None:
    opt = engine.optim.SGD([nn.Parameter(engine.ones(1))], lr=1.0)
    rule, fresh = Decay(), Decay()
    schedule = lr_scheduler.LambdaLR(opt, rule)
    schedule.step()
    state = schedule.state_dict()
    assert state["lr_lambdas"] == [{"asked": 2}]
    lr_scheduler.LambdaLR(opt, fresh).load_state_dict(state)
    assert fresh.asked == 2
    plain = lr_scheduler.LambdaLR(opt, lambda epoch: 1.0).state_dict()
    assert plain["lr_lambdas"] == [None]


def test_a_rate_in_a_tensor_is_moved_in_place() -> None:
    p, rate = nn.Parameter(engine.ones(1)), engine.tensor(0.5)
    opt = engine.optim.SGD([p], lr=rate)
    schedule = lr_scheduler.ExponentialLR(opt, 0.5)

    def step() -> None:
        opt.zero_grad()
        p.sum().backward()
        opt.step()

    run = engine.jit(step, backend="interpreter")
    for wanted in (0.5, 0.25, 0.125):
        run()
        assert float(p) == wanted
        schedule.step()
    assert opt.param_groups[0]["lr"] is rate
    assert float(rate) == 0.0625
    assert len(run.programs) == 1
