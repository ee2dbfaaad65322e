"""Ones in, what the dropout layers leave of them out."""

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

ONES = engine.ones(200, 30, 4)


@pytest.mark.parametrize("layer", [nn.Dropout(0.25), nn.Dropout1d(0.25), nn.Dropout2d(0.25)])
def test_what_is_left_is_scaled(layer: nn.Module) -> None:
    engine.manual_seed(0)
    for run in (layer, engine.jit(layer)):
        out = run(ONES).numpy()
        np.testing.assert_allclose(np.unique(out), [0.0, 4 / 3], rtol=1e-6)
        assert abs((out == 0).mean() - 0.25) < 0.02
    assert layer.eval()(ONES) is ONES


def test_channels_fall_as_a_whole() -> None:
    out = nn.Dropout1d(0.5)(ONES).numpy()
    assert ((out == 0).all(-1) | (out != 0).all(-1)).all()
    out = nn.FeatureAlphaDropout(0.5)(ONES).numpy()
    assert (out == out[..., :1]).all()


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    engine.manual_seed(0)
    out = nn.AlphaDropout(0.3)(engine.randn(400, 400)).numpy()
    assert abs(out.mean()) < 0.02
    assert abs(out.std() - 1.0) < 0.02


def test_outside_training_any_shape_will_do() -> None:
    x = engine.ones(5)
    assert F.feature_alpha_dropout(x, 0.5, training=False) is x
    with pytest.raises(RuntimeError, match="two axes"):
        F.feature_alpha_dropout(x, 0.5, training=True)
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(x, 1.5)
