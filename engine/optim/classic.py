"""Parameters and gradients in, steps out: Rprop (signs alone) and averaged SGD."""

from __future__ import annotations

from functools import partial

from engine.arithmetic import where
from engine.optim.counted import Counted, number_slot
from engine.optim.optimizer import Group, Makers, Params, Rate, Slots
from engine.tensor import Tensor


class Rprop(Counted):
    """Resilient steps: longer while a gradient keeps its sign (Riedmiller and Braun, 1993)."""

    names = ("prev", "step_size")

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        if not 0.0 < group["etas"][0] < 1.0 < group["etas"][1]:
            raise ValueError(f"Invalid eta values: {group['etas'][0]}, {group['etas'][1]}")

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        count, before, size = self.count(slots), slots["prev"], slots["step_size"]
        product = grad * before
        turned = product < 0
        old = where(count == 1, size * 0 + self.number(group, "lr"), size)
        longer = where(product > 0, old * self.number(group, _up), old)
        changed = where(turned, old * self.number(group, _down), longer)
        least, most = self.number(group, _least), self.number(group, _most)
        size.copy_(changed.clamp(least, most))
        grad = where(turned, 0.0, grad)
        param.sub_(grad.sign() * size)
        before.copy_(grad)


class ASGD(Counted):
    """SGD with a falling rate, and the average of the parameters in ``ax`` (Polyak, 1992)."""

    names = ("ax",)

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        eta, mu = partial(number_slot, group["lr"]), partial(number_slot, 1.0)
        return {**super().slots_for(param, group), "eta": eta, "mu": mu}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        count, average = self.count(slots), slots["ax"]
        grad = self.coupled(param, grad, group)
        lr, lambd = self.number(group, "lr"), self.number(group, "lambd")
        first = count * 0 + lr
        eta = where(count == 1, first.to(slots["eta"].dtype), slots["eta"]).to(count.dtype)
        param.mul_((1 - eta * lambd).to(param.dtype))
        param.sub_(grad * eta.to(param.dtype))
        share = slots["mu"].to(param.dtype)
        average.copy_(where(share == 1, param, average + (param - average) * share))
        slots["eta"].copy_(lr / (1 + count * (lambd * lr)) ** self.number(group, "alpha"))
        slots["mu"].copy_(1 / (count - self.number(group, "t0")).clamp(min=1.0))


def _down(group: Group) -> float:
    return float(group["etas"][0])


def _up(group: Group) -> float:
    return float(group["etas"][1])


def _least(group: Group) -> float:
    return float(group["step_sizes"][0])


def _most(group: Group) -> float:
    return float(group["step_sizes"][1])
