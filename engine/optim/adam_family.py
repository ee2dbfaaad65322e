"""Parameters, gradients and moments in, steps out: Adamax, NAdam, RAdam and Lion."""

from __future__ import annotations

import math
from functools import partial

from engine.arithmetic import expm1, maximum, where
from engine.optim.counted import (
    Counted,
    beta1,
    beta2,
    check_betas,
    log_beta1,
    log_beta2,
    move,
    number_slot,
    one_less_beta1,
    one_less_beta2,
)
from engine.optim.optimizer import Group, Makers, Optimizer, Params, Rate, Slots, zeros_slot
from engine.tensor import Tensor


class Adamax(Counted):
    """Adam with the largest recent gradient in place of the second moment (Kingma and Ba, 2015)."""

    names = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params,
            {
                **defaults,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def check(self, group: Group) -> None:
        super().check(group)
        check_betas(group)

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        count = self.count(slots)
        grad = self.coupled(param, grad, group)
        mean = move(slots["exp_avg"], grad, self.number(group, one_less_beta1))
        largest = slots["exp_inf"]
        size = grad.abs() + self.number(group, "eps")
        largest.copy_(maximum(largest * self.number(group, beta2), size))
        rate = self.number(group, "lr") / -expm1(count * self.number(group, log_beta1))
        param.sub_(mean / largest * rate.to(param.dtype))


class NAdam(Counted):
    """Adam with Nesterov's momentum (Dozat, 2016)."""

    names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_betas(group)
        if not group["momentum_decay"] >= 0.0:
            raise ValueError(f"Invalid momentum_decay value: {group['momentum_decay']}")

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        return {**super().slots_for(param, group), "mu_product": partial(number_slot, 1.0)}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        count, lr = self.count(slots), self.number(group, "lr")
        grad = self.decayed(param, grad, group)
        now, then = self._momentum(count, group), self._momentum(count + 1, group)
        product = slots["mu_product"]
        product.copy_(product * now.to(product.dtype))
        so_far = product.to(now.dtype)
        mean = move(slots["exp_avg"], grad, self.number(group, one_less_beta1))
        square = slots["exp_avg_sq"]
        square.copy_(
            square * self.number(group, beta2) + grad * grad * self.number(group, one_less_beta2)
        )
        second = -expm1(count * self.number(group, log_beta2))
        spread = (square / second.to(param.dtype)).sqrt() + self.number(group, "eps")
        of_grad = (1 - now) / (1 - so_far) * lr
        of_mean = then / (1 - so_far * then) * lr
        step = grad * of_grad.to(param.dtype) + mean * of_mean.to(param.dtype)
        param.sub_(step / spread)

    def _momentum(self, count: Tensor, group: Group) -> Tensor:
        """``beta1 * (1 - 0.96 ** (count * momentum_decay) / 2)``."""
        kept = (count * self.number(group, _log_momentum_decay)).exp()
        momentum: Tensor = (1 - kept * 0.5) * self.number(group, beta1)
        return momentum


class RAdam(Counted):
    """Adam that waits until its second moment is trustworthy (Liu et al., 2020)."""

    names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_betas(group)

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        count, dtype = self.count(slots), param.dtype
        grad = self.decayed(param, grad, group)
        mean = move(slots["exp_avg"], grad, self.number(group, one_less_beta1))
        square = slots["exp_avg_sq"]
        square.copy_(
            square * self.number(group, beta2) + grad * grad * self.number(group, one_less_beta2)
        )
        first = -expm1(count * self.number(group, log_beta1))
        second = -expm1(count * self.number(group, log_beta2))
        longest = self.number(group, _longest_average)
        length = longest - count * 2 * (1 - second) / second
        sure = length.clamp(min=5.0)  # where it is shorter the root below is not used
        ratio = (sure - 4) * (sure - 2) * longest / (sure * ((longest - 4) * (longest - 2)))
        scale = (ratio * second).sqrt().to(dtype)
        adapted = scale / (square.sqrt() + self.number(group, "eps"))
        rate = (self.number(group, "lr") / first).to(dtype)
        param.sub_(mean * rate * where(length > 5.0, adapted, 1.0))


class Lion(Optimizer):
    """Steps of one size in the direction of the momentum's sign (Chen et al., 2023).

    Not in PyTorch; weight decay is decoupled, and the one slot is ``exp_avg``.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_betas({**group, "eps": 0.0})

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        return {"exp_avg": partial(zeros_slot, param)}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        lr, mean = self.number(group, "lr"), slots["exp_avg"]
        if self.flag(group, "weight_decay"):
            param.mul_(1 - lr * self.number(group, "weight_decay"))
        towards = mean + (grad - mean) * self.number(group, one_less_beta1)
        param.sub_(towards.sign() * lr)
        move(mean, grad, self.number(group, one_less_beta2))


def _log_momentum_decay(group: Group) -> float:
    return math.log(0.96) * float(group["momentum_decay"])


def _longest_average(group: Group) -> float:
    return 2.0 / (1.0 - float(group["betas"][1])) - 1.0
