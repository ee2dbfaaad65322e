"""A network that trains in, the average of its weights out: SWA (Izmailov et al., 2018) and EMA.

``update_parameters`` works inside a compiled step too: the first update, which copies, and every
later one are the same program.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from engine.arithmetic import where
from engine.creation import tensor
from engine.dtypes import int64
from engine.modes import modes, no_grad
from engine.nn.module import Module
from engine.nn.normalization import _BatchNorm
from engine.optim.lr_scheduler.schedule import LRScheduler, one_each
from engine.optim.optimizer import Group, Optimizer
from engine.tensor import Tensor

Average: TypeAlias = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage: TypeAlias = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """``ema = decay * ema + (1 - decay) * model`` of whole lists, in place."""
    mixed = get_ema_avg_fn(decay)

    def average(averaged: Tensor, current: Tensor, count: Any) -> Tensor:
        if not averaged.is_floating_point():
            return mixed(averaged, current, count)
        moved: Tensor = averaged.lerp(current, 1 - decay)  # what has converged stays
        return moved

    return partial(_each, average)


def get_swa_multi_avg_fn() -> MultiAverage:
    """The equal average of all models so far, of whole lists, in place."""
    return partial(_each, get_swa_avg_fn())


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * ema + (1 - decay) * model``."""
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1].")

    def average(averaged: Tensor, current: Tensor, count: Any) -> Tensor:
        with no_grad():
            mixed: Tensor = averaged * decay + current * (1 - decay)
        return mixed

    return average


def get_swa_avg_fn() -> Average:
    """The equal average of all models so far."""

    def average(averaged: Tensor, current: Tensor, count: Any) -> Tensor:
        with no_grad():
            mixed: Tensor = averaged + (current - averaged) / (count + 1)
        return mixed

    return average


class AveragedModel(Module):
    """A copy of ``model`` whose parameters are the average of those at every update.

    ``avg_fn(averaged, current, n_averaged)`` gives the new average of one tensor;
    ``multi_avg_fn`` writes lists in place; neither: the equal average. With ``use_buffers``
    buffers are averaged too, else copied. The first update copies all.

    >>> ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    >>> ema.update_parameters(model)
    """

    n_averaged: Tensor
    module: Module

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged network gives."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of ``model`` into the average."""
        pairs = list(zip(self._members(self.module), self._members(model), strict=True))
        count = self.n_averaged
        with no_grad():
            if modes.trace is not None:  # one program for the first update and the others
                modes.trace.touched += [self, model]
                self._average(pairs, count)
                pairs = [(mine, where(count == 0, own, mine)) for mine, own in pairs]
            if modes.trace is not None or count.item() == 0:
                for mine, own in pairs:
                    mine.copy_(own)
            else:
                self._average(pairs, count)
            if not self.use_buffers:
                for mine, own in zip(self.module.buffers(), model.buffers(), strict=True):
                    mine.copy_(own)
            count.add_(1)

    def _members(self, model: Module) -> list[Tensor]:
        found = chain(model.parameters(), model.buffers() if self.use_buffers else ())
        return [member.detach() for member in found]

    def _average(self, pairs: Sequence[tuple[Tensor, Tensor]], count: Tensor) -> None:
        function = self.multi_avg_fn or get_swa_multi_avg_fn()
        if self.avg_fn is not None:
            function = partial(_each, self.avg_fn)
        for dtype in {mine.dtype: None for mine, _ in pairs}:  # lists of one dtype each
            same = [pair for pair in pairs if pair[0].dtype == dtype]
            function([mine for mine, _ in same], [own for _, own in same], count)


def _each(
    function: Average, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Any
) -> None:
    with no_grad():
        for mine, own in zip(averaged, current, strict=True):
            mine.copy_(function(mine, own, count))


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the statistics of all batch norms to those of ``loader``'s inputs: one pass.

    A batch is a tensor, or a list or tuple whose first item is one. ``device`` is taken for
    PyTorch's sake; there is one.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta, training = [norm.momentum for norm in norms], model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, list | tuple) else batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """From each group's rate to ``swa_lr`` in ``anneal_epochs`` epochs ("cos" or "linear")."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = one_each("swa_lr", optimizer, swa_lr)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in {"cos", "linear"}:
            text = "anneal_strategy must be one of 'cos' or 'linear', instead got"
            raise ValueError(f"{text} {anneal_strategy}")
        if type(anneal_epochs) is not int or anneal_epochs < 0:
            text = "anneal_epochs must be equal or greater than 0, got"
            raise ValueError(f"{text} {anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        return [self._between(group, before, now) for group in self.groups]

    def _between(self, group: Group, before: float, now: float) -> float:
        last = float(group["swa_lr"])
        first = last if before == 1 else (float(group["lr"]) - before * last) / (1 - before)
        return last * now + first * (1 - now)

    def _share(self, step: int) -> float:
        """How far the way to ``swa_lr`` is after ``step`` steps."""
        share = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return share if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * share)) / 2
