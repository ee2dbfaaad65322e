"""A softmax by clusters: its probabilities add up, and a step computes the same."""

import numpy as np
import pytest

import engine as torch
from engine import nn


def made() -> tuple[nn.AdaptiveLogSoftmaxWithLoss, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    x = torch.tensor(random.standard_normal((7, 16)).astype(np.float32))
    target = torch.tensor(np.array([0, 4, 5, 9, 10, 19, 2]))
    return nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10, 15], div_value=2.0), x, target


def test_probabilities() -> None:
    layer, x, target = made()
    table = layer.log_prob(x).detach().numpy()
    np.testing.assert_allclose(np.exp(table).sum(1), 1, rtol=1e-5)
    wanted = table[np.arange(7), target.numpy()]
    for run in (layer, torch.jit(layer)):
        output, loss = run(x, target)
        np.testing.assert_allclose(output.detach().numpy(), wanted, rtol=1e-5)
        np.testing.assert_allclose(loss.item(), -wanted.mean(), rtol=1e-5)
    single = layer(x[1], target[1])
    assert single.output.shape == ()
    np.testing.assert_allclose(single.loss.item(), -wanted[1], rtol=1e-5)
    assert list(layer.state_dict())[:3] == ["head.weight", "tail.0.0.weight", "tail.0.1.weight"]
    best = torch.jit(layer.predict)(x).numpy()
    head = best < 5
    np.testing.assert_array_equal(best[~head], table.argmax(1)[~head])


def test_misuse() -> None:
    layer, x, target = made()
    for run in (layer, torch.jit(layer)):
        with pytest.raises(RuntimeError, match=r"\[0, 19\]"):
            run(x, target + 1)
    with pytest.raises(RuntimeError, match="multi-target"):
        layer(x, target.unsqueeze(0))
    for cutoffs in ([], [5, 5], [0, 3], [5, 20]):
        with pytest.raises(ValueError, match="cutoffs"):
            nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs)
