"""Schedules in, one schedule out: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from engine.optim.lr_scheduler.schedule import LRScheduler, outside_of_steps, set_rate
from engine.optim.optimizer import Optimizer


class _Composed(LRScheduler):
    """Schedules kept in ``_schedulers``; their states are part of this one's."""

    _schedulers: list[LRScheduler]

    def _adopt(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        if not schedulers:
            raise ValueError(f"{type(self).__name__} expects at least one scheduler")
        self.optimizer = optimizer if optimizer is not None else schedulers[0].optimizer
        for at, schedule in enumerate(schedulers):
            if schedule.optimizer is not self.optimizer:
                text = f"the scheduler at index {at} belongs to another optimizer"
                raise ValueError(f"{type(self).__name__}: {text}")
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        own = {name: value for name, value in state_dict.items() if name != "_schedulers"}
        super().load_state_dict(own)
        for schedule, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            schedule.load_state_dict(state)


class ChainedScheduler(_Composed):
    """All of the schedules, each on the rate that the one before it set."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._adopt(schedulers, optimizer)
        self._last_lr = self.rates()

    def step(self, epoch: int | None = None) -> None:
        outside_of_steps()
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self.rates()


class SequentialLR(_Composed):
    """The first schedule up to the first milestone, then the next, from its own beginning."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self._adopt(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            text = f"{len(schedulers)} schedulers need {len(schedulers) - 1} milestones"
            raise ValueError(f"{text}, not {len(milestones)}")
        self._milestones, self.last_epoch = milestones, last_epoch + 1
        for group in self.groups:  # each schedule has taken its first step: undo them
            set_rate(group, group["initial_lr"])
        for schedule in self._schedulers:
            schedule.last_epoch -= 1
        self._schedulers[0].step()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        outside_of_steps()
        self.last_epoch += 1
        at = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[at]
        if at > 0 and self._milestones[at - 1] == self.last_epoch:
            schedule.step(0)
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()
