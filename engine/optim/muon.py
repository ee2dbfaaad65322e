"""Matrices and gradients in, steps of orthogonalised momentum out: Muon."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from engine.dtypes import bfloat16, float32
from engine.optim.optimizer import Group, Makers, Optimizer, Params, Rate, Slots, zeros_slot
from engine.specials import lerp
from engine.tensor import Tensor


class Muon(Optimizer):
    """Momentum whose matrix is made nearly orthogonal by Newton-Schulz steps (Jordan, 2024).

    Takes matrices only: give biases, embeddings and kernels to another optimizer. The steps run
    in bfloat16, as in PyTorch. ``adjust_lr_fn``: "original" (also None) or "match_rms_adamw".

    >>> opt = torch.optim.Muon([p for p in model.parameters() if p.ndim == 2], lr=0.02)
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        rate = group["lr"]
        if isinstance(rate, Tensor) and rate.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        labels = {"lr": "Learning rate", "momentum": "momentum", "weight_decay": "weight decay"}
        for name, label in labels.items():
            if not group[name] >= 0.0:
                raise ValueError(f"{label} should be >= 0 but is: {group[name]}")
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            text = f"Adjust learning rate function {group['adjust_lr_fn']} is not supported"
            raise ValueError(text)
        for param in group["params"]:
            if param.ndim != 2:
                raise ValueError(
                    "Muon only supports 2D parameters whereas we found a parameter with size: "
                    f"{list(param.shape)}"
                )

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        return {"momentum_buffer": partial(zeros_slot, param)}

    def has_moved(self, param: Tensor, group: Group) -> bool:
        buffer = self.state[param].get("momentum_buffer")
        return buffer is None or bool(buffer.cpu().numpy().any())

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        momentum, buffer = self.number(group, "momentum"), slots["momentum_buffer"]
        buffer.copy_(lerp(buffer, grad, 1 - momentum))
        wanted = lerp(grad, buffer, momentum) if self.flag(group, "nesterov") else buffer
        steps = int(self.number(group, "ns_steps"))
        if steps >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        factors = [self.number(group, read) for read in (_first, _second, _third)]
        moved = orthogonalised(wanted, factors, steps, self.number(group, "eps"))
        rate = self.number(group, "lr")
        param.mul_(1 - rate * self.number(group, "weight_decay"))
        param.sub_(moved.to(param.dtype) * (rate * self._share(param, group)))

    def _share(self, param: Tensor, group: Group) -> float:
        """How much of the rate a matrix of this shape gets."""
        rows, columns = (int(size) for size in param.shape)
        if bool(self.number(group, _by_root_mean_square)):
            return 0.2 * math.sqrt(max(rows, columns))
        return math.sqrt(max(1, rows / columns))


def orthogonalised(matrix: Tensor, factors: list[Any], steps: int, eps: Any) -> Tensor:
    """A matrix with about the singular vectors of ``matrix``, and singular values near 1.

    ``X <- aX + (bA + cA^2) X`` with ``A = XX^T``, for ``factors`` (a, b, c); every matrix is stored
    in bfloat16, and products are summed in float32.
    """
    a, b, c = factors
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(bfloat16)
    x = x.T if tall else x
    x = x / x.to(float32).norm().to(bfloat16).clamp(min=eps)
    for _ in range(steps):
        wide = x.to(float32)
        gram = (wide @ wide.T).to(bfloat16).to(float32)
        update = (gram * b + (gram @ gram) * c).to(bfloat16).to(float32)
        x = (wide * a + update @ wide).to(bfloat16)
    return x.T if tall else x


def _first(group: Group) -> float:
    return float(group["ns_coefficients"][0])


def _second(group: Group) -> float:
    return float(group["ns_coefficients"][1])


def _third(group: Group) -> float:
    return float(group["ns_coefficients"][2])


def _by_root_mean_square(group: Group) -> float:
    return float(group["adjust_lr_fn"] == "match_rms_adamw")
