"""Parameters and gradients in, steps scaled by a rank-one second moment out: Adafactor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from engine.arithmetic import minimum
from engine.dtypes import float64
from engine.optim.counted import move
from engine.optim.optimizer import Group, Makers, Optimizer, Params, Rate, Slots, counter_slot
from engine.tensor import Tensor


class Adafactor(Optimizer):
    """Adam with a second moment of rows and columns in place of one an element.

    Shazeer and Stern, 2018. ``eps[0]`` is None for the dtype's own; ``d`` limits the step's
    root mean square; ``lr`` is relative to the parameter's.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        first, second = group["eps"]
        for name, good in (
            ("beta2_decay", group["beta2_decay"] <= 0.0),
            ("eps", (first is None or first >= 0.0) and second >= 0.0),
            ("d", group["d"] >= 1.0),
        ):
            if not good:
                raise ValueError(f"Invalid {name} value: {group[name]}")

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        shape = tuple(param.shape)
        if len(shape) < 2:
            return {"step": counter_slot, "variance": _zeros(shape, param)}
        rows, columns = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
        zeros = {"row_var": _zeros(rows, param), "col_var": _zeros(columns, param)}
        return {"step": counter_slot, **zeros}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        slots["step"].add_(1)
        count, lr = slots["step"].to(float64), self.number(group, "lr")
        share = (count ** self.number(group, "beta2_decay")).to(param.dtype)
        pace = minimum(count * 0 + lr, 1 / count.sqrt())
        size = _rms(param).to(float64).clamp(min=self.number(group, _least_size))
        if self.flag(group, "weight_decay"):
            param.mul_(1 - lr * self.number(group, "weight_decay"))
        eps = self._eps(param, group)
        spread = _spread(grad, share, slots, eps).clamp(min=eps * eps)
        step = grad * spread.rsqrt()
        limit = (_rms(step).to(float64) / self.number(group, "d")).clamp(min=1.0)
        param.sub_(step * (size * pace / limit).to(param.dtype))

    def _eps(self, param: Tensor, group: Group) -> Any:
        if group["eps"][0] is None:
            return float(np.spacing(np.ones((), param.dtype)))
        return self.number(group, _least_spread)


def _spread(grad: Tensor, share: Tensor, slots: Slots, eps: Any) -> Tensor:
    """The second moment of every element, as rows times columns where there are both."""
    square = grad * grad
    if "variance" in slots:
        return move(slots["variance"], square, share)
    rows = move(slots["row_var"], square.mean(-1, keepdim=True), share)
    columns = move(slots["col_var"], square.mean(-2, keepdim=True), share)
    spread: Tensor = rows * columns / rows.mean(-2, keepdim=True).clamp(min=eps)
    return spread


def _zeros(shape: tuple[int, ...], param: Tensor) -> Callable[[], Tensor]:
    return partial(_zeros_of, shape, param)


def _zeros_of(shape: tuple[int, ...], param: Tensor) -> Tensor:
    return Tensor._from_array(np.zeros(shape, param.dtype))


def _rms(x: Tensor) -> Tensor:
    out: Tensor = (x * x).mean().sqrt()
    return out


def _least_spread(group: Group) -> float:
    return float(group["eps"][0])


def _least_size(group: Group) -> float:
    return float(group["eps"][1])
