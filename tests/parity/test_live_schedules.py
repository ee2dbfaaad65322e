"""Schedules of PyTorch and of the engine in, equal learning rates over many steps out.
Asks PyTorch live: run by `make parity`."""

import copy
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


class Rule:
    """A rule with state of its own, which state dicts carry."""

    def __init__(self, base: float) -> None:
        self.base = base

    def __call__(self, epoch: float) -> float:
        return float(self.base**epoch)


STATEFUL: list[tuple[str, dict[str, Any]]] = [
    *(case for case in CASES if "lr_lambda" not in case[1]),
    ("LambdaLR", {"lr_lambda": Rule(0.9)}),
    ("MultiplicativeLR", {"lr_lambda": Rule(0.99)}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "scale_fn": Rule(0.9)}),
]


@pytest.mark.parametrize(("name", "options"), STATEFUL, ids=str)
def test_state_goes_both_ways(name: str, options: dict[str, Any]) -> None:
    ours, theirs = optimizers("SGD")
    first = getattr(lr_scheduler, name)(ours, **options)
    second = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(7):
        first.step()
        theirs.step()
        second.step()
    mine, wanted = copy.deepcopy(first.state_dict()), copy.deepcopy(second.state_dict())
    assert set(wanted) - set(mine) <= {"_is_initial", "_get_lr_called_within_step"}
    ours_new, theirs_new = optimizers("SGD")
    third = getattr(lr_scheduler, name)(ours_new, **options)
    fourth = getattr(torch.optim.lr_scheduler, name)(theirs_new, **options)
    for schedule, state, source in ((third, wanted, theirs), (fourth, mine, ours)):
        schedule.optimizer.param_groups[0].update(
            {k: v for k, v in source.param_groups[0].items() if k != "params"}
        )
        schedule.load_state_dict(state)
    compare(third, fourth, "SGD", 15)


def test_the_state_of_composed_ones_and_of_plateau() -> None:
    for build in (
        lambda space, opt: space.SequentialLR(
            opt, [space.LinearLR(opt, 0.1), space.ExponentialLR(opt, 0.9)], [3]
        ),
        lambda space, opt: space.ChainedScheduler(
            [space.LinearLR(opt, 0.1), space.ExponentialLR(opt, 0.9)]
        ),
        lambda space, opt: space.ReduceLROnPlateau(opt, patience=1, cooldown=1),
    ):
        spaces = (lr_scheduler, torch.optim.lr_scheduler)
        old, new = optimizers("SGD"), optimizers("SGD")
        first, second = (build(space, opt) for space, opt in zip(spaces, old, strict=True))
        third, fourth = (build(space, opt) for space, opt in zip(spaces, new, strict=True))

        def step(schedule: Any) -> None:
            schedule.optimizer.step()
            args = (1.0,) if "Plateau" in type(schedule).__name__ else ()
            schedule.step(*args)

        for _ in range(4):
            step(first)
            step(second)
        for opt, source in zip(new, reversed(old), strict=True):
            opt.param_groups[0]["lr"] = source.param_groups[0]["lr"]
        third.load_state_dict(copy.deepcopy(second.state_dict()))
        fourth.load_state_dict(copy.deepcopy(first.state_dict()))
        for _ in range(8):
            for schedule in (first, second, third, fourth):
                step(schedule)
            rates = [x.optimizer.param_groups[0]["lr"] for x in (first, second, third, fourth)]
            assert rates == pytest.approx([rates[0]] * 4, rel=1e-12)


def misuses(space: Any, opt: Any, plain: Any) -> list[tuple[type[Exception], Any]]:
    """Kinds of error, and calls that must raise them; ``plain`` has no momentum."""
    one = space.StepLR(opt, 1)
    other = space.StepLR(plain, 1)

    def tired() -> None:
        schedule = space.OneCycleLR(opt, 1.0, total_steps=2)
        for _ in range(4):
            schedule.step()

    return [
        (TypeError, lambda: space.StepLR("optimizer", 1)),
        (TypeError, lambda: space.ReduceLROnPlateau("optimizer")),
        (TypeError, lambda: space.CyclicLR("optimizer", 0.1, 1.0)),
        (TypeError, lambda: space.OneCycleLR("optimizer", 0.1, 10)),
        (KeyError, lambda: space.StepLR(plain_with_rate(plain), 1, last_epoch=3)),
        (ValueError, lambda: space.LambdaLR(opt, [lambda e: 1.0] * 2)),
        (ValueError, lambda: space.MultiplicativeLR(opt, [lambda e: 1.0] * 2)),
        (ValueError, lambda: space.ConstantLR(opt, factor=1.5)),
        (ValueError, lambda: space.LinearLR(opt, start_factor=0.0)),
        (ValueError, lambda: space.LinearLR(opt, end_factor=1.5)),
        (ValueError, lambda: space.ReduceLROnPlateau(opt, factor=1.0)),
        (ValueError, lambda: space.ReduceLROnPlateau(opt, mode="up")),
        (ValueError, lambda: space.ReduceLROnPlateau(opt, threshold_mode="up")),
        (ValueError, lambda: space.ReduceLROnPlateau(opt, min_lr=[0.1, 0.2])),
        (ValueError, lambda: space.CyclicLR(opt, 0.1, 1.0, mode="up")),
        (ValueError, lambda: space.CyclicLR(opt, [0.1, 0.2], 1.0)),
        (ValueError, lambda: space.CyclicLR(plain, 0.1, 1.0)),
        (ValueError, lambda: space.OneCycleLR(opt, 1.0)),
        (ValueError, lambda: space.OneCycleLR(opt, 1.0, total_steps=0)),
        (ValueError, lambda: space.OneCycleLR(opt, 1.0, epochs=0, steps_per_epoch=1)),
        (ValueError, lambda: space.OneCycleLR(opt, 1.0, total_steps=9, pct_start=2.0)),
        (ValueError, lambda: space.OneCycleLR(opt, 1.0, total_steps=9, anneal_strategy="up")),
        (ValueError, tired),
        (ValueError, lambda: space.CosineAnnealingWarmRestarts(opt, 0)),
        (ValueError, lambda: space.CosineAnnealingWarmRestarts(opt, 1.5)),
        (ValueError, lambda: space.CosineAnnealingWarmRestarts(opt, 2, 0)),
        (ValueError, lambda: space.CosineAnnealingWarmRestarts(opt, 2).step(-1)),
        (ValueError, lambda: space.SequentialLR(opt, [], [])),
        (ValueError, lambda: space.SequentialLR(opt, [one, other], [1])),
        (ValueError, lambda: space.SequentialLR(opt, [one, one], [1, 2])),
        (ValueError, lambda: space.ChainedScheduler([])),
        (ValueError, lambda: space.ChainedScheduler([one, other])),
    ]


def plain_with_rate(optimizer: Any) -> Any:
    """The optimizer, as one that no schedule has touched."""
    optimizer.param_groups[0].pop("initial_lr", None)
    return optimizer


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_errors() -> None:
    wrong = []
    for space, made, plain in zip(
        (lr_scheduler, torch.optim.lr_scheduler),
        optimizers("SGD"),
        optimizers("Adagrad"),
        strict=True,
    ):
        for at, (kind, call) in enumerate(misuses(space, made, plain)):
            try:
                call()
                wrong.append((space.__name__, at, None))
            except kind:
                pass
            except Exception as error:
                wrong.append((space.__name__, at, repr(error)))
    assert not wrong
