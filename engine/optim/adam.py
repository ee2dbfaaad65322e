"""Parameters, gradients and their moments in, Adam's step out.

The bias corrections come from the step count inside the program: ``1 - beta**t`` written as
``-expm1(t * log(beta))``, which keeps all digits in float32 where the difference would lose four.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from engine.dispatch import apply
from engine.optim.counted import beta2, check_betas, log_beta1, log_beta2, one_less_beta1
from engine.optim.optimizer import (
    Group,
    Makers,
    Optimizer,
    Params,
    Rate,
    Slots,
    counter_slot,
    zeros_slot,
)
from engine.tensor import Tensor


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); ``weight_decay`` is added to the gradient.

    With ``amsgrad`` the largest second moment so far divides (Reddi et al., 2018).

    >>> opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_betas(group)
        in_tensors = [isinstance(beta, Tensor) for beta in group["betas"]]
        if any(in_tensors) and not all(in_tensors):
            raise ValueError("betas must be either both floats or both Tensors")
        if group["foreach"] and not group["capturable"]:
            for name, is_tensor in (
                ("lr", isinstance(group["lr"], Tensor)),
                ("betas", in_tensors[0]),
            ):
                if is_tensor:
                    text = f"{name} as a Tensor is not supported"
                    raise ValueError(f"{text} for capturable=False and foreach=True")

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        zeros = partial(zeros_slot, param)
        return {"step": counter_slot, **dict.fromkeys(names, zeros)}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        lr, decay = self.number(group, "lr"), self.number(group, "weight_decay")
        if self.flag(group, "weight_decay"):
            if self.flag(group, "decoupled_weight_decay"):
                param.mul_(1 - lr * decay)
            else:
                grad = grad + param * decay
        mean, square = slots["exp_avg"], slots["exp_avg_sq"]
        keep = self.number(group, one_less_beta1)
        mean.copy_(mean + (grad - mean) * keep)
        beta = self.number(group, beta2)
        square.copy_(square * beta + (grad * grad) * (1 - beta))
        if self.flag(group, "amsgrad"):
            largest = slots["max_exp_avg_sq"]
            largest.copy_(apply("maximum", largest, square))
            square = largest
        first, second = self._corrections(slots["step"], param, group)
        spread = square.sqrt() * (1.0 / second.sqrt()) + self.number(group, "eps")
        param.sub_(mean / spread * (lr / first))

    def _corrections(self, step: Tensor, param: Tensor, group: Group) -> tuple[Tensor, Tensor]:
        """Count the step; ``1 - beta**step`` for both betas, in the parameter's dtype."""
        step.add_(1)
        count = step.to(param.dtype)
        first = self.number(group, log_beta1)
        second = self.number(group, log_beta2)
        return -apply("expm1", count * first), -apply("expm1", count * second)


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As ``Optimizer.load_state_dict``; what Adam has saved becomes AdamW's."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
