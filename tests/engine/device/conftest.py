"""Small networks and their training steps on any device, for the tests beside this file."""

import pytest

import engine
from engine import nn
from engine.nn import functional as F


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 8), nn.ReLU(),
        nn.Dropout(0.2), nn.Linear(8, 4),
    )  # fmt: skip


def mlp():
    first = nn.Linear(6, 12, bias=False)  # whose gradient would be rounding, which Adam magnifies
    return nn.Sequential(first, nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 4))


CASES = {"lenet": (lenet, (2, 1, 8, 8), "SGD"), "mlp": (mlp, (5, 6), "Adam")}


def train(name, device):
    make, shape, kind = CASES[name]
    engine.manual_seed(0)
    model = make()
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(engine.optim, kind)(model.parameters(), lr=0.05, **options)
    model.to(device)  # after the optimizer: its slots follow
    x, y = engine.randn(3, *shape), engine.randint(0, 4, (3, shape[0]))

    @engine.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, step, [(x[i].clone().to(device), y[i].to(device)) for i in range(3)]


@pytest.fixture
def trainer():
    """``trainer(name, device)``: model, optimizer, jitted step, three batches."""
    return train


@pytest.fixture
def network():
    """``network()``: a small network with a norm."""
    return mlp
