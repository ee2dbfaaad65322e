"""Parameters, gradients and momentum in, a step against the gradient out."""

from __future__ import annotations

from functools import partial

from engine.arithmetic import where
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


class SGD(Optimizer):
    """Stochastic gradient descent: momentum, dampening, Nesterov's variant, weight decay.

    The update is PyTorch's: ``buf = momentum * buf + (1 - dampening) * grad`` (the first ``buf``
    is the gradient itself), then ``param -= lr * buf``.

    >>> opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        self._started: dict[Tensor, Tensor] = {}  # read only where dampening is not zero
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        if group["momentum"] < 0.0:
            raise ValueError(f"Invalid momentum value: {group['momentum']}")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        if not group["momentum"]:
            return {}
        if param not in self._started:
            self._started[param] = counter_slot()
        return {"momentum_buffer": partial(zeros_slot, param)}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        if self.flag(group, "weight_decay"):
            grad = grad + param * self.number(group, "weight_decay")
        if self.flag(group, "momentum"):
            momentum = self.number(group, "momentum")
            buffer = slots["momentum_buffer"]
            buffer.copy_(self._blend(param, buffer * momentum, grad, group))
            grad = grad + buffer * momentum if self.flag(group, "nesterov") else buffer
        param.sub_(grad * self.number(group, "lr"))

    def _blend(self, param: Tensor, old: Tensor, grad: Tensor, group: Group) -> Tensor:
        """The new buffer. Zeros plus the gradient is the first one, unless it is dampened."""
        if not self.flag(group, "dampening"):
            return old + grad
        started = self._started[param]
        first = started == 0
        blended = old + grad * (1 - self.number(group, "dampening"))
        started.fill_(1.0)
        return where(first, grad, blended)

    def has_moved(self, param: Tensor, group: Group) -> bool:
        """A dampened buffer that no step has filled is none; one of zeros is like none."""
        if group["dampening"] and param in self._started:
            return bool(self._started[param].item())
        buffer = self.state[param].get("momentum_buffer")
        return buffer is None or bool(buffer.cpu().numpy().any())

    def _restart(self, param: Tensor, group: Group, loaded: Slots) -> None:
        super()._restart(param, group, loaded)
        if param in self._started:
            self._started[param].fill_(float("momentum_buffer" in loaded))
