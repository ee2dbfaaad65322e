"""A workload in, its step as one ``@engine.jit`` program out, as a user would write it."""

from __future__ import annotations

from typing import Any

from contest import Contestant, Running
from workloads import MOMENTUM, WORKLOADS, batches, weights

import engine as torch
import engine.nn.functional as F
from engine import nn


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Any) -> Any:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 512)
        self.fc2 = nn.Linear(512, 256)
        self.fc3 = nn.Linear(256, 10)

    def forward(self, x: Any) -> Any:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def prepare(contestant: Contestant, count: int) -> Running:
    """The step over ``count`` batches; threads come from TRACEFUSE_NUM_THREADS."""
    workload = WORKLOADS[contestant.workload]
    model = LeNet() if contestant.workload == "lenet" else MLP()
    first = {name: torch.from_numpy(array) for name, array in weights(workload).items()}
    model.load_state_dict(first)
    opt: Any
    if workload.optimizer == "sgd":
        opt = torch.optim.SGD(model.parameters(), lr=workload.rate, momentum=MOMENTUM)
    else:
        opt = torch.optim.Adam(model.parameters(), lr=workload.rate)

    @torch.jit
    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    def restore() -> None:
        model.load_state_dict(first)
        for slots in opt.state.values():
            for slot in slots.values():
                slot.zero_()

    data = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(workload, count)]
    return Running(data, step, lambda loss: loss.item(), restore)
