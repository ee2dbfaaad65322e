"""A workload in, PyTorch's eager training step out.

Variants name the memory format and the optimizer's implementation. ``build`` is shared with
compile_steps.py, which compiles the same model and loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from contest import Contestant, Running
from torch import nn
from workloads import MOMENTUM, WORKLOADS, batches, weights


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
        x = torch.flatten(x, 1)
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


@dataclass(frozen=True)
class Parts:
    """What both ways of running share."""

    model: nn.Module
    batches: list[tuple[Any, Any]]
    first: dict[str, Any]

    def restore_weights(self) -> None:
        """The first weights again, in the parameters' own memory."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.first[name])


def build(contestant: Contestant, count: int) -> Parts:
    """The model with the first weights, and the batches, in the variant's memory format."""
    torch.set_num_threads(contestant.threads)
    workload = WORKLOADS[contestant.workload]
    model: nn.Module = LeNet() if contestant.workload == "lenet" else MLP()
    data = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(workload, count)]
    if "channels last" in contestant.variant:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        data = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in data]
    first = {name: torch.from_numpy(array) for name, array in weights(workload).items()}
    parts = Parts(model, data, first)
    parts.restore_weights()
    return parts


def make_optimizer(contestant: Contestant, model: nn.Module, kind: str) -> Any:
    """The workload's optimizer, ``kind`` "fused" or "foreach"."""
    workload = WORKLOADS[contestant.workload]
    options: dict[str, Any] = {"lr": workload.rate, kind: True}
    if workload.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=MOMENTUM, **options)
    return torch.optim.Adam(model.parameters(), **options)


def train(parts: Parts, loss_of: Callable[[Any, Any], Any], opt: Any) -> Running:
    """The usual loop's body around ``loss_of``."""

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        opt.step()
        return loss

    def restore() -> None:
        parts.restore_weights()
        for slots in opt.state.values():
            for slot in slots.values():
                slot.zero_()

    return Running(parts.batches, step, lambda loss: float(loss.item()), restore)


def prepare(contestant: Contestant, count: int) -> Running:
    """The eager step over ``count`` batches."""
    parts = build(contestant, count)
    kind = contestant.variant.rsplit(", ", 1)[-1]
    opt = make_optimizer(contestant, parts.model, kind)
    return train(parts, lambda x, y: F.cross_entropy(parts.model(x), y), opt)
