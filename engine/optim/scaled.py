"""Parameters and gradients in, steps scaled by past gradients out: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

import numpy as np

from engine.optim.counted import Counted, check_range, move
from engine.optim.optimizer import Group, Makers, Params, Rate, Slots
from engine.tensor import Tensor


class RMSprop(Counted):
    """The gradient over the root of its mean square (Hinton); ``centered``: of its variance."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_range(group, eps="epsilon value", momentum="momentum value", alpha="alpha value")

    def slot_names(self, group: Group) -> tuple[str, ...]:
        buffer = ("momentum_buffer",) if group["momentum"] else ()
        return ("square_avg", *buffer, *(("grad_avg",) if group["centered"] else ()))

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        self.count(slots)
        grad = self.coupled(param, grad, group)
        alpha, square = self.number(group, "alpha"), slots["square_avg"]
        square.copy_(square * alpha + grad * grad * (1 - alpha))
        if self.flag(group, "centered"):
            mean = move(slots["grad_avg"], grad, 1 - alpha)
            square = square - mean * mean
        step = grad / (square.sqrt() + self.number(group, "eps"))
        if self.flag(group, "momentum"):
            buffer = slots["momentum_buffer"]
            step = buffer.copy_(buffer * self.number(group, "momentum") + step)
        param.sub_(step * self.number(group, "lr"))


class Adagrad(Counted):
    """The gradient over the root of the sum of its squares (Duchi et al., 2011)."""

    names = ("sum",)

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_range(
            group,
            lr_decay="lr_decay value",
            initial_accumulator_value="initial_accumulator_value value",
            eps="epsilon value",
        )

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        start = float(group["initial_accumulator_value"])

        def total() -> Tensor:
            return Tensor._from_array(np.full(tuple(param.shape), start, param.dtype))

        return {**super().slots_for(param, group), "sum": total}

    def has_moved(self, param: Tensor, group: Group) -> bool:
        """PyTorch saves the sum of a parameter that no step has moved, too."""
        return True

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        count, total = self.count(slots), slots["sum"]
        grad = self.coupled(param, grad, group)
        rate = self.number(group, "lr") / (1 + (count - 1) * self.number(group, "lr_decay"))
        total.copy_(total + grad * grad)
        param.sub_(grad / (total.sqrt() + self.number(group, "eps")) * rate.to(param.dtype))


class Adadelta(Counted):
    """The gradient scaled by past steps over past gradients (Zeiler, 2012)."""

    names = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params,
            {
                **defaults,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def check(self, group: Group) -> None:
        super().check(group)
        check_range(group, eps="epsilon value")
        if not 0.0 <= group["rho"] <= 1.0:
            raise ValueError(f"Invalid rho value: {group['rho']}")

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        self.count(slots)
        grad = self.coupled(param, grad, group)
        rho, eps = self.number(group, "rho"), self.number(group, "eps")
        square, steps = slots["square_avg"], slots["acc_delta"]
        square.copy_(square * rho + grad * grad * (1 - rho))
        delta = (steps + eps).sqrt() / (square + eps).sqrt() * grad
        steps.copy_(steps * rho + delta * delta * (1 - rho))
        param.sub_(delta * self.number(group, "lr"))
