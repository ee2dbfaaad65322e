"""Layers and losses given sound and unsound inputs in, values, shapes and clear errors out."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn


def test_default_initialisation_lies_within_pytorchs_bounds() -> None:
    engine.manual_seed(3)
    for layer, fan in ((nn.Linear(400, 120), 400), (nn.Conv2d(6, 16, 5), 150)):
        bound = 1 / math.sqrt(fan)
        for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
            assert np.abs(values).max() <= bound
        spread = layer.weight.detach().numpy().std()
        assert abs(spread - bound / math.sqrt(3)) < 0.05 * bound


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (nn.init.xavier_uniform_, math.sqrt(2 / 300)),
        (lambda w: nn.init.xavier_normal_(w, gain=2.0), 2 * math.sqrt(2 / 300)),
        (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda w: nn.init.kaiming_uniform_(w, mode="fan_out"), math.sqrt(2 / 100)),
        (lambda w: nn.init.normal_(w, 0.0, 0.5), 0.5),
        (lambda w: nn.init.uniform_(w, -1.0, 1.0), 1 / math.sqrt(3)),
    ],
)
def test_init(fill: Callable[[Any], Any], std: float) -> None:
    engine.manual_seed(0)
    weight = nn.Parameter(engine.zeros(100, 200))
    assert fill(weight) is weight
    assert abs(weight.detach().numpy().std() / std - 1) < 0.03


def test_one_seed_one_network() -> None:
    engine.manual_seed(5)
    a = nn.Linear(3, 3)
    engine.manual_seed(5)
    b = nn.Linear(3, 3)
    np.testing.assert_array_equal(a.weight.detach().numpy(), b.weight.detach().numpy())


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (nn.Linear(400, 120), (64, 256), "Linear(400 -> 120) got 256 features"),
        (nn.Conv2d(3, 8, 3), (2, 1, 9, 9), "Conv2d(3 -> 8) got 1 channels"),
        (nn.Conv2d(3, 8, 3), (9, 9), "conv2d takes input [n, c, h, w]"),
        (nn.Conv2d(1, 1, 5), (1, 1, 3, 3), "a window of 5 does not fit"),
        (nn.MaxPool2d(2), (4, 4), "max_pool2d takes [n, c, h, w]"),
        (nn.MaxPool2d(2, padding=2), (1, 1, 8, 8), "more than half of the window"),
        (nn.BatchNorm2d(4), (2, 3, 5, 5), "BatchNorm2d(4) got input"),
        (nn.BatchNorm2d(4), (1, 4, 1, 1), "one value per channel"),
    ],
    ids=repr,
)
def test_wrong_input_names_the_users_line(layer: Any, shape: tuple[int, ...], text: str) -> None:
    x = engine.zeros(shape)
    with pytest.raises(ValueError, match=r"test_layers\.py") as caught:
        layer(x)
    lines = str(caught.value).splitlines()
    assert "layer(x)" in lines[0]
    assert text in str(caught.value)
    assert len(lines) <= 12


def test_wrong_labels() -> None:
    logits = engine.zeros(2, 3)
    with pytest.raises(ValueError, match="label 3 is out of bounds for 3 classes"):
        F.cross_entropy(logits, engine.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"labels \[3\] for logits \[2, 3\]"):
        F.cross_entropy(logits, engine.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"probabilities \[2\]"):
        F.cross_entropy(logits, engine.tensor([0.0, 1.0]))
    assert float(F.cross_entropy(logits, engine.tensor([0, -100]))) == pytest.approx(math.log(3))


def test_mse_warns_of_broadcasting() -> None:
    with pytest.warns(UserWarning, match="will be broadcast"):
        nn.MSELoss()(engine.zeros(3, 1), engine.zeros(3))


def test_dropout() -> None:
    engine.manual_seed(0)
    layer, x = nn.Dropout(0.25), engine.ones(100, 100).requires_grad_()
    y = layer(x)
    values = np.unique(y.detach().numpy())
    np.testing.assert_allclose(values, [0.0, 1 / 0.75], rtol=1e-6)
    assert abs(float(y.mean()) - 1.0) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert layer.eval()(x) is x
    assert float(F.dropout(x, 1.0).sum()) == 0.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_batch_norm_follows_the_batches() -> None:
    layer = nn.BatchNorm2d(2, momentum=None)
    rng = np.random.default_rng(0)
    batches = rng.standard_normal((3, 4, 2, 5, 5)).astype(np.float32) * 3 + 1
    for batch in batches:
        y = layer(engine.tensor(batch))
        assert np.abs(y.detach().numpy().mean((0, 2, 3))).max() < 1e-5
    assert layer.num_batches_tracked.item() == 3
    np.testing.assert_allclose(
        layer.running_mean.numpy(), batches.mean((1, 3, 4)).mean(0), rtol=1e-5
    )
    before = layer.running_mean.numpy().copy()
    layer.eval()(engine.tensor(batches[0]))
    np.testing.assert_array_equal(layer.running_mean.numpy(), before)


def test_conv_options_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="strided"):
        nn.Conv2d(3, 4, 3, stride=2, padding="same")
    with pytest.raises(ValueError, match="padding_mode"):
        nn.Conv2d(3, 4, 3, padding_mode="mirror")
