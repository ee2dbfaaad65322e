"""Weights averaged by PyTorch and by the engine, equal averages and statistics out.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn
from engine.optim import swa_utils

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
theirs_utils = pytest.importorskip("torch.optim.swa_utils")

RNG = np.random.default_rng(0)
BATCHES = RNG.standard_normal((5, 8, 3)).astype(np.float32)


def networks() -> tuple[Any, Any]:
    parts = [
        space.Sequential(space.Linear(3, 4), space.BatchNorm1d(4), space.Linear(4, 2))
        for space in (nn, torch.nn)
    ]
    parts[1].load_state_dict(
        {name: torch.tensor(value.numpy().copy()) for name, value in parts[0].state_dict().items()}
    )
    return parts[0], parts[1]


def averages(space: Any, kind: str, decay: float) -> dict[str, Any]:
    return {
        "default": {},
        "swa": {"avg_fn": space.get_swa_avg_fn()},
        "swa lists": {"multi_avg_fn": space.get_swa_multi_avg_fn()},
        "ema": {"avg_fn": space.get_ema_avg_fn(decay)},
        "ema lists": {"multi_avg_fn": space.get_ema_multi_avg_fn(decay), "use_buffers": True},
        "own": {"avg_fn": lambda old, new, count: old * 0.25 + new * 0.75 + count},
    }[kind]


def same(ours: Any, theirs: Any) -> None:
    mine, wanted = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(mine[name].numpy(), value.numpy(), 1e-5, 1e-6, err_msg=name)


@pytest.mark.parametrize("mode", ["eager", "interpreter", "codegen"])
@pytest.mark.parametrize("kind", ["default", "swa", "swa lists", "ema", "ema lists", "own"])
def test_averages(kind: str, mode: str) -> None:
    ours, theirs = networks()
    average = swa_utils.AveragedModel(ours, **averages(swa_utils, kind, 0.6))
    other = theirs_utils.AveragedModel(theirs, **averages(theirs_utils, kind, 0.6))
    opt = engine.optim.SGD(ours.parameters(), lr=0.1)
    wanted = torch.optim.SGD(theirs.parameters(), lr=0.1)

    def step(x: Any) -> None:
        opt.zero_grad()
        (ours(x) ** 2).mean().backward()
        opt.step()
        average.update_parameters(ours)

    run: Any = step if mode == "eager" else engine.jit(step, backend=mode)
    for batch in BATCHES:
        run(engine.tensor(batch))
        wanted.zero_grad()
        (theirs(torch.tensor(batch)) ** 2).mean().backward()
        wanted.step()
        other.update_parameters(theirs)
        same(average, other)
    if mode != "eager":
        assert len(run.programs) == 1
    average.eval()
    other.eval()
    found, x = average(engine.tensor(BATCHES[0])), torch.tensor(BATCHES[0])
    np.testing.assert_allclose(found.detach().numpy(), other(x).detach().numpy(), 1e-4, 1e-5)


def test_update_bn() -> None:
    ours, theirs = networks()
    for batches, space, model in (
        (engine.tensor, swa_utils, ours),
        (torch.tensor, theirs_utils, theirs),
    ):
        loader = [batches(x) for x in BATCHES[:3]] + [(batches(x), 1) for x in BATCHES[3:]]
        model.eval()
        space.update_bn(loader, model)
        assert not model.training
        assert model[1].momentum == 0.1
    same(ours, theirs)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 6])
def test_swalr(strategy: str, epochs: int) -> None:
    made = []
    for space, parameter, ones in (
        (engine, nn.Parameter, engine.ones),
        (torch, torch.nn.Parameter, torch.ones),
    ):
        groups = [{"params": [parameter(ones(2))], "lr": 1.0}, {"params": [parameter(ones(2))]}]
        opt = space.optim.SGD(groups, lr=0.2)
        made.append(space.optim.swa_utils.SWALR(opt, [0.05, 0.5], epochs, strategy))
    for _ in range(9):
        assert made[0].get_last_lr() == pytest.approx(made[1].get_last_lr(), rel=1e-12)
        made[1].optimizer.step()
        for schedule in made:
            schedule.step()
    saved = made[1].state_dict()
    made[1].load_state_dict(made[0].state_dict())
    made[0].load_state_dict(saved)


def test_errors() -> None:
    for space, model, optimizer in (
        (swa_utils, nn.Linear(1, 1), engine.optim.SGD([nn.Parameter(engine.ones(1))])),
        (theirs_utils, torch.nn.Linear(1, 1), torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])),
    ):
        single, several = space.get_swa_avg_fn(), space.get_swa_multi_avg_fn()
        for decay in (-0.1, 1.1):
            for make in (space.get_ema_avg_fn, space.get_ema_multi_avg_fn):
                with pytest.raises(ValueError, match="decay"):
                    make(decay)
        with pytest.raises(AssertionError):
            space.AveragedModel(model, avg_fn=single, multi_avg_fn=several)
        for options in ({"anneal_strategy": "x"}, {"anneal_epochs": -1}, {"anneal_epochs": 1.5}):
            with pytest.raises(ValueError, match="anneal"):
                space.SWALR(optimizer, 0.1, **options)
        with pytest.raises(ValueError, match="swa_lr"):
            space.SWALR(optimizer, [0.1, 0.2])
