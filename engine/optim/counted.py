"""A parameter group in, what optimizers with a step count share out: slots, counts, constants.

Whatever depends on the count alone is computed in float64, as PyTorch does on the host: it is one
number a parameter, and in float32 the early steps of a bias correction lose digits.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from engine.dtypes import float64
from engine.optim.optimizer import Group, Makers, Optimizer, Slots, counter_slot, zeros_slot
from engine.tensor import Tensor


class Counted(Optimizer):
    """Base of optimizers whose slots are zeros and one step count; a subclass names the slots."""

    names: tuple[str, ...] = ()

    def slot_names(self, group: Group) -> tuple[str, ...]:
        """The slots of the parameter's shape that this group needs."""
        return self.names

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        zeros = partial(zeros_slot, param)
        return {"step": counter_slot, **dict.fromkeys(self.slot_names(group), zeros)}

    def count(self, slots: Slots) -> Tensor:
        """Count this step; the count as a float64 number."""
        slots["step"].add_(1)
        counted: Tensor = slots["step"].to(float64)
        return counted

    def coupled(self, param: Tensor, grad: Tensor, group: Group) -> Tensor:
        """The gradient with weight decay added."""
        if not self.flag(group, "weight_decay"):
            return grad
        out: Tensor = grad + param * self.number(group, "weight_decay")
        return out

    def decayed(self, param: Tensor, grad: Tensor, group: Group) -> Tensor:
        """The gradient; weight decay goes into it, or (decoupled) shrinks the parameter."""
        if not self.flag(group, "decoupled_weight_decay"):
            return self.coupled(param, grad, group)
        if self.flag(group, "weight_decay"):
            param.mul_(1 - self.number(group, "lr") * self.number(group, "weight_decay"))
        return grad


def number_slot(start: Any) -> Tensor:
    """A float32 number that begins at ``start``."""
    return Tensor._from_array(np.array(float(start), np.float32))


def move(average: Tensor, value: Tensor, share: Any) -> Tensor:
    """``average += share * (value - average)``."""
    moved: Tensor = average.copy_(average + (value - average) * share)
    return moved


def check_betas(group: Group) -> None:
    """ValueError for an epsilon or a beta outside its range."""
    check_range(group, eps="epsilon value")
    for at, beta in enumerate(group["betas"]):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {at}: {beta}")


def check_range(group: Group, **labels: str) -> None:
    """ValueError for a hyper-parameter that is negative or NaN; labels say what each is."""
    for name, label in labels.items():
        if not group[name] >= 0.0:
            raise ValueError(f"Invalid {label}: {group[name]}")


# Constants of a group, for ``Optimizer.number``.


def one_less_beta1(group: Group) -> float:
    """``1 - beta1``."""
    return 1.0 - float(group["betas"][0])


def one_less_beta2(group: Group) -> float:
    """``1 - beta2``."""
    return 1.0 - float(group["betas"][1])


def beta1(group: Group) -> float:
    """``beta1``."""
    return float(group["betas"][0])


def beta2(group: Group) -> float:
    """``beta2``."""
    return float(group["betas"][1])


def log_beta1(group: Group) -> float:
    """``log(beta1)``."""
    return _log(group["betas"][0])


def log_beta2(group: Group) -> float:
    """``log(beta2)``."""
    return _log(group["betas"][1])


def _log(beta: float) -> float:
    return math.log(beta) if beta > 0 else -math.inf
