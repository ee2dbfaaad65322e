"""Settings that look right and are wrong in, engines that have them out.

Each makes an optimizer, or changes a normalisation, in one way that a port gets wrong. A training
curve that cannot tell them from the right ones is no test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engine.optim
from engine.modes import no_grad
from engine.nn import functional as F
from engine.optim.optimizer import Group, Slots
from engine.tensor import Tensor

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """``optimizer`` in place of the curve's, ``patches`` of functions."""

    optimizer: Callable[[Any], Any] | None = None
    patches: tuple[Patch, ...] = ()


def mutated_adam(
    inside: bool = False, corrected: bool = True, decoupled: bool = True
) -> type[engine.optim.Adam]:
    """Adam written again with epsilon inside the root, or without the bias corrections."""
    fate = decoupled

    class Mutated(engine.optim.Adam):
        decoupled = fate

        def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
            lr, decay, eps = group["lr"], group["weight_decay"], group["eps"]
            if self.decoupled:
                param.mul_(1 - lr * decay)
            else:
                grad = grad + param * decay
            first, second = group["betas"]
            slots["step"].add_(1)
            count = slots["step"]
            mean = slots["exp_avg"].mul_(first).add_(grad * (1 - first))
            square = slots["exp_avg_sq"].mul_(second).add_(grad * grad * (1 - second))
            if corrected:
                mean = mean / (1 - first**count)
                square = square / (1 - second**count)
            spread = (square + eps).sqrt() if inside else square.sqrt() + eps
            param.sub_(mean / spread * lr)

    return Mutated


def layer_norm_outside(
    input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """LayerNorm with epsilon added to the deviation instead of the variance."""
    centred = input - input.mean(-1, keepdim=True)
    return centred / ((centred * centred).mean(-1, keepdim=True).sqrt() + eps) * weight + bias


def batch_norm(outside: bool = False, biased: bool = False) -> Callable[..., Tensor]:
    """BatchNorm with epsilon added to the deviation, or a running variance with bias."""

    def mutated(
        input: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        mean = input.mean((0, 2, 3), keepdim=True)
        centred = input - mean
        var = (centred * centred).mean((0, 2, 3), keepdim=True)
        count = input.numel() / input.shape[1]
        with no_grad():
            seen = var if biased else var * (count / (count - 1))
            running_mean.mul_(1 - momentum).add_(mean.detach().flatten() * momentum)
            running_var.mul_(1 - momentum).add_(seen.detach().flatten() * momentum)
        spread = var.sqrt() + eps if outside else (var + eps).sqrt()
        view = (1, -1, 1, 1)
        return centred / spread * weight.reshape(view) + bias.reshape(view)

    return mutated


def adamw(**faults: bool) -> Mutation:
    """The transformer's optimizer with a fault."""
    kind = mutated_adam(**faults)
    return Mutation(lambda p: kind(p, lr=2e-3, eps=1e-5, weight_decay=0.1))


def adam(**faults: bool) -> Mutation:
    """The recurrent network's optimizer with a fault."""
    kind = mutated_adam(**faults)
    return Mutation(lambda p: kind(p, lr=5e-3, eps=1e-5))


def dampened(p: Any) -> Any:
    """Momentum as a running mean, as other libraries have it."""
    return engine.optim.SGD(p, lr=0.02, momentum=0.9, dampening=0.9, weight_decay=1e-3)


def undecayed(p: Any) -> Any:
    """No weight decay."""
    return engine.optim.SGD(p, lr=0.02, momentum=0.9)


# Without a fault the second writings must agree: it is the fault that is seen, not the writing.
FAITHFUL = {
    "transformer": adamw(),
    "residual": Mutation(patches=((F, "batch_norm", batch_norm()),)),
    "lstm": adam(),
}
MUTATIONS: dict[tuple[str, str], Mutation] = {
    ("transformer", "AdamW's epsilon inside the root"): adamw(inside=True),
    ("transformer", "no bias correction"): adamw(corrected=False),
    ("transformer", "coupled weight decay"): adamw(decoupled=False),
    ("transformer", "LayerNorm's epsilon outside the root"): Mutation(
        patches=((F, "layer_norm", layer_norm_outside),)
    ),
    ("residual", "BatchNorm's epsilon outside the root"): Mutation(
        patches=((F, "batch_norm", batch_norm(outside=True)),)
    ),
    ("residual", "biased running variance"): Mutation(
        patches=((F, "batch_norm", batch_norm(biased=True)),)
    ),
    ("residual", "dampened momentum"): Mutation(dampened),
    ("residual", "no weight decay"): Mutation(undecayed),
    ("lstm", "Adam's epsilon inside the root"): adam(inside=True),
    ("lstm", "no bias correction"): adam(corrected=False),
}
UNSEEN_BY_LOSSES = {"biased running variance"}  # training does not read the running statistics
