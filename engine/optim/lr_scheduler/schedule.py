"""An optimizer in, its learning rates of each epoch out: what every schedule shares.

As in PyTorch a schedule mostly gives the next rate from the present one, so that several can act
on one optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

from engine.errors import Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.optim.optimizer import Group, Optimizer
from engine.tensor import Tensor


class LRScheduler:
    """Base of the schedules; a subclass writes ``get_lr``. Making one sets the first rate.

    ``last_epoch=-1`` starts; any other goes on from groups that have an ``initial_lr``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for at, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                text = f"param 'initial_lr' is not specified in param_groups[{at}]"
                raise KeyError(f"{text} when resuming an optimizer")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self._step_count = 0
        self.step()

    @property
    def groups(self) -> list[Group]:
        """The optimizer's parameter groups."""
        return self.optimizer.param_groups

    def rates(self) -> list[float]:
        """The learning rates of the groups now, as Python's numbers."""
        return [float(group["lr"]) for group in self.groups]

    def get_lr(self) -> list[float]:
        """The learning rates for ``last_epoch``."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The learning rates that this schedule set last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of ``epoch``."""
        outside_of_steps()
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = getattr(self, "_get_closed_form_lr", None) if epoch is not None else None
        self.set_rates((closed or self.get_lr)())

    def set_rates(self, rates: Sequence[float]) -> None:
        """Write the groups' learning rates."""
        for group, rate in zip(self.groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr = self.rates()

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer and functions."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "optimizer" and not callable(value)
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken; load the optimizer's state as well."""
        self.__dict__.update(state_dict)


def set_rate(group: Group, rate: float) -> None:
    """Write a group's learning rate, into the tensor where it is one."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def outside_of_steps() -> None:
    """Error inside a compiled step, where a schedule would move once, at the trace."""
    if modes.trace is not None:
        text = "a learning-rate schedule's step() inside jit"
        hint = "call it after the compiled step; the new rate is read without compiling again"
        raise Unsupported(message(user_location(), text, hint))


def attributes(function: Any) -> dict[str, Any] | None:
    """What a state dict keeps of a callable: an object's attributes, nothing of a function."""
    if function is None or isinstance(function, FunctionType):
        return None
    return dict(vars(function))


def give_back(function: Any, kept: Mapping[str, Any] | None) -> None:
    """The attributes of a callable object as they were."""
    if kept is not None:
        vars(function).update(kept)


def one_each(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A setting for every group: the same, or one of a list each."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must have the same length as optimizer.param_groups")
    return list(value)
