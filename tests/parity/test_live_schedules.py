"""Schedules of PyTorch and of the engine in, equal learning rates over many steps out.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import pytest

import engine
import engine.optim
from engine import nn
from engine.optim import lr_scheduler

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

CASES: list[tuple[str, dict[str, Any]]] = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9}),
    ("StepLR", {"step_size": 4, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 2, 9]}),
    ("ConstantLR", {"factor": 0.5, "total_iters": 4}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 6}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("PolynomialLR", {"total_iters": 12, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "step_size_down": 5}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "mode": "triangular2"}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9},
    ),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 30}),
    (
        "OneCycleLR",
        {
            "max_lr": 1.0,
            "epochs": 5,
            "steps_per_epoch": 6,
            "three_phase": True,
            "anneal_strategy": "linear",
        },
    ),
]


def optimizers(kind: str) -> tuple[Any, Any]:
    ours = getattr(engine.optim, kind)([nn.Parameter(engine.ones(2))], lr=0.3)
    theirs = getattr(torch.optim, kind)([torch.nn.Parameter(torch.ones(2))], lr=0.3)
    return ours, theirs


def compare(first: Any, second: Any, kind: str, steps: int = 25) -> None:
    ours, theirs = first.optimizer.param_groups[0], second.optimizer.param_groups[0]
    name = "momentum" if kind == "SGD" else "betas"
    for _ in range(steps):
        assert ours["lr"] == pytest.approx(theirs["lr"], rel=1e-12, abs=1e-15)
        assert ours[name] == pytest.approx(theirs[name], rel=1e-12)
        assert first.get_last_lr() == pytest.approx(second.get_last_lr())
        second.optimizer.step()
        first.step()
        second.step()


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_schedule(name: str, options: dict[str, Any], kind: str) -> None:
    ours, theirs = optimizers(kind)
    first = getattr(lr_scheduler, name)(ours, **options)
    second = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    compare(first, second, kind)


def test_composed() -> None:
    for chained in (True, False):
        made = []
        for optimizer, space in zip(
            optimizers("SGD"), (lr_scheduler, torch.optim.lr_scheduler), strict=True
        ):
            parts = [
                space.LinearLR(optimizer, 0.1, total_iters=4),
                space.ExponentialLR(optimizer, 0.9),
                space.CosineAnnealingLR(optimizer, 8),
            ]
            made.append(
                space.ChainedScheduler(parts)
                if chained
                else space.SequentialLR(optimizer, parts, milestones=[4, 10])
            )
        compare(made[0], made[1], "SGD")


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau(mode: str, threshold_mode: str) -> None:
    ours, theirs = optimizers("SGD")
    options = {"mode": mode, "threshold_mode": threshold_mode, "patience": 1, "factor": 0.5}
    options |= {"threshold": 0.05, "cooldown": 1, "min_lr": 0.01}
    first = lr_scheduler.ReduceLROnPlateau(ours, **options)
    second = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for metric in (1, 0.9, 0.88, 0.87, 0.86, 0.5, 0.6, 0.7, 0.8, 0.9, 1.2, 1.2, 1.2, -1, -1, -1):
        first.step(metric)
        second.step(metric)
        assert first.get_last_lr() == pytest.approx(second.get_last_lr())
