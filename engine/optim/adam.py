"""Parameters, gradients and their moments in, Adam's step out.

The bias corrections come from the step count inside the program: ``1 - beta**t`` written as
``-expm1(t * log(beta))``, which keeps all digits in float32 where the difference would lose four.
"""

from __future__ import annotations

from engine.dispatch import apply
from engine.optim.counted import beta2, check_betas, log_beta1, log_beta2, one_less_beta1
from engine.optim.optimizer import Group, Optimizer, Params, Slots, counter_slot, zeros_slot
from engine.tensor import Tensor


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); ``weight_decay`` is added to the gradient.

    With ``amsgrad`` the largest second moment so far divides (Reddi et al., 2018).

    >>> opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        check_betas(group)

    def slots_for(self, param: Tensor, group: Group) -> Slots:
        known = self.state.get(param, {})
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        slots: Slots = {} if "step" in known else {"step": counter_slot()}
        return slots | {name: zeros_slot(param) for name in names if name not in known}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        lr, decay = self.number(group, "lr"), self.number(group, "weight_decay")
        if self.flag(group, "weight_decay"):
            if self.decoupled:
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

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
