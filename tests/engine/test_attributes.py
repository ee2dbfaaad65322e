"""Tensors that a jitted step assigns to attributes of its network: state, as in eager code."""

import numpy as np
import pytest

import engine
from engine import nn


def jit(fn):
    return engine.jit(fn, backend="interpreter")


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(2, 2)
        self.hidden = None
        self.register_buffer("previous", engine.zeros(2))
        self.register_buffer("current", engine.zeros(2))

    def forward(self, x):
        self.hidden = x if self.hidden is None else self.cell(x + self.hidden).tanh().detach()
        self.previous, self.current = self.current, self.hidden * 2
        return self.hidden.sum() + self.previous.sum()


def test_tensors_kept_in_attributes_are_state():
    engine.manual_seed(1)
    model = Recurrent()
    other = Recurrent()
    other.load_state_dict(model.state_dict())
    step = jit(lambda x: other(x))  # noqa: PLW0108  (the step captures its network)
    for i in range(5):
        x = engine.full((2,), float(i))
        assert step(x).item() == pytest.approx(model(x).item(), rel=1e-6)
        np.testing.assert_allclose(other.hidden.numpy(), model.hidden.numpy(), rtol=1e-6)
    np.testing.assert_allclose(other.previous.numpy(), model.previous.numpy(), rtol=1e-6)
    assert len(step.programs) == 2


def test_an_activation_kept_for_looking_at():
    model = nn.Linear(6, 3)

    @jit
    def step(x):
        model.last = model(x)
        return model.last.sum()

    x = engine.ones(4, 6)
    for _ in range(3):
        step(x)
        model(x)
        model.last = engine.zeros(1)
    assert step(x).item() == pytest.approx(model.last.sum().item(), rel=1e-6)
    assert len(step.programs) <= 3
