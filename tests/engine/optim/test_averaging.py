"""Weights of a network over its steps in, their averages (as in NumPy) out."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn
from engine.optim import swa_utils

VALUES = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
KINDS: dict[str, Any] = {
    "mean": {},
    "mean, lists": {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()},
    "ema": {"avg_fn": swa_utils.get_ema_avg_fn(0.7)},
    "ema, lists": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.7)},
}


def wanted(kind: str, count: int) -> Any:
    if kind.startswith("mean"):
        return VALUES[:count].mean(0, dtype=np.float64)
    ema = VALUES[0].astype(np.float64)
    for value in VALUES[1:count]:
        ema = 0.7 * ema + 0.3 * value
    return ema


@pytest.mark.parametrize("mode", ["eager", "interpreter", "codegen"])
@pytest.mark.parametrize("kind", KINDS)
def test_averages(kind: str, mode: str) -> None:
    model = nn.Linear(3, 2, bias=False)
    average = swa_utils.AveragedModel(model, **KINDS[kind])

    def step(value: Any) -> None:
        with engine.no_grad():
            model.weight.copy_(value)
        average.update_parameters(model)

    run: Any = step if mode == "eager" else engine.jit(step, backend=mode)
    for count, value in enumerate(VALUES, 1):
        run(engine.tensor(value))
        found = average.module.weight.detach().numpy()
        np.testing.assert_allclose(found, wanted(kind, count), rtol=1e-5, atol=1e-6)
        assert int(average.n_averaged) == count
    assert list(average.state_dict()) == ["n_averaged", "module.weight"]
    if mode != "eager":
        assert len(run.programs) == 1


@pytest.mark.parametrize("use_buffers", [False, True])
def test_buffers(use_buffers: bool) -> None:
    model = nn.BatchNorm1d(2)
    function = swa_utils.get_ema_multi_avg_fn(0.5)
    average = swa_utils.AveragedModel(model, multi_avg_fn=function, use_buffers=use_buffers)
    for mean in (1.0, 3.0):
        model.running_mean.fill_(mean)
        model.num_batches_tracked.add_(2)
        average.update_parameters(model)
    expected = (2.0, 3) if use_buffers else (3.0, 4)
    assert float(average.module.running_mean[0]) == expected[0]
    assert int(average.module.num_batches_tracked) == expected[1]


def test_update_bn() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    batches = np.random.default_rng(1).standard_normal((4, 6, 3)).astype(np.float32)
    model.eval()
    swa_utils.update_bn([(engine.tensor(x), 0) for x in batches], model)
    np.testing.assert_allclose(model[0].running_mean.numpy(), batches.mean((0, 1)), 1e-5, 1e-6)
    np.testing.assert_allclose(
        model[0].running_var.numpy(), batches.var(1, ddof=1).mean(0), rtol=1e-5
    )
    assert not model.training
    assert model[0].momentum == 0.1


def test_swalr() -> None:
    opt = engine.optim.SGD([nn.Parameter(engine.ones(1))], lr=1.0)
    schedule = swa_utils.SWALR(opt, 0.2, anneal_epochs=4, anneal_strategy="linear")
    rates = []
    for _ in range(6):
        rates.append(opt.param_groups[0]["lr"])
        schedule.step()
    np.testing.assert_allclose(rates, [1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_misuse() -> None:
    for make in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match="decay"):
            make(1.5)
    with pytest.raises(AssertionError, match="Only one"):
        swa_utils.AveragedModel(
            nn.Linear(1, 1), avg_fn=lambda a, b, n: a, multi_avg_fn=lambda a, b, n: None
        )
