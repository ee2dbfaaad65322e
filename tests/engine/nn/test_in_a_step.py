"""Modules inside compiled steps in, one program for each thing that really changed out."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn


def compiled(function: Any) -> Any:
    return engine.jit(function, backend="interpreter")


def test_train_and_eval_are_two_programs_however_often_they_change() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm2d(2))

    @compiled
    def run(x: Any) -> Any:
        return net[1](net[0](x))

    x = engine.ones(4, 3)
    for _ in range(3):
        assert (run(x).numpy() == 0).any()
        net.eval()
        assert not (run(x).numpy() == 0).any()
        net.train()
    assert len(run.programs) == 2
    nn.Linear(2, 2)  # somebody else's network
    run(x)
    assert len(run.programs) == 2


def test_a_changed_structure_or_attribute_is_seen() -> None:
    net = nn.Sequential(nn.Linear(3, 3))
    run = compiled(net.__call__)
    x = engine.ones(1, 3)
    run(x)
    net.append(nn.ReLU())
    np.testing.assert_array_equal(run(x).numpy(), np.maximum(net[0](x).detach().numpy(), 0))
    net[1] = nn.Softmax(dim=0)
    np.testing.assert_allclose(run(x).numpy(), np.ones((1, 3)))
    net[1].dim = 1
    assert float(run(x).sum()) == pytest.approx(1.0)
    handle = net.register_forward_hook(lambda module, args, output: output * 2)
    assert float(run(x).sum()) == pytest.approx(2.0)
    handle.remove()
    assert float(run(x).sum()) == pytest.approx(1.0)


def test_batch_norm_statistics_are_written_by_the_step() -> None:
    layer, twin = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    run = compiled(layer.__call__)
    for _ in range(3):
        x = engine.randn(4, 2, 3, 3)
        np.testing.assert_allclose(run(x).numpy(), twin(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(layer.state_dict()[name].numpy(), value.numpy(), rtol=1e-6)
    assert len(run.programs) == 1


def test_dropout_draws_anew_at_every_call() -> None:
    run = compiled(lambda x: F.dropout(x, 0.5))
    x = engine.ones(1000)
    engine.manual_seed(0)
    first, second = run(x).numpy().copy(), run(x).numpy().copy()
    assert (first != second).any()
    engine.manual_seed(0)
    np.testing.assert_array_equal(run(x).numpy(), first)


def test_a_label_outside_the_classes_stops_a_step_before_it_runs() -> None:
    run = compiled(F.cross_entropy)
    x = engine.zeros(2, 3)
    assert np.isfinite(run(x, engine.tensor([0, 2])).item())
    with pytest.raises(RuntimeError, match="label 7 is out of bounds for 3 classes"):
        run(x, engine.tensor([0, 7]))
    assert np.isfinite(run(x, engine.tensor([0, -100])).item())


def test_a_computed_label_outside_the_classes_gives_nan() -> None:
    run = compiled(lambda x, y: F.cross_entropy(x, y + 5))
    assert np.isnan(run(engine.zeros(2, 3), engine.tensor([0, 1])).item())
