"""Predicted and true numbers in, a loss out: absolute, smooth, Gaussian and Poisson."""

from __future__ import annotations

import math
from typing import Any

from engine.arithmetic import exp, log, where
from engine.nn.functional.checks import misfit
from engine.nn.functional.reduction import reduced
from engine.tensor import Tensor


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """The absolute differences."""
    return reduced((input - target).abs(), reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """``d^2 / (2 beta)`` for differences below ``beta``, ``|d| - beta / 2`` above."""
    if beta < 0:
        raise ValueError("smooth_l1_loss does not support negative values for beta")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    d = input - target
    size = d.abs()
    return reduced(where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta), reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """``d^2 / 2`` for differences up to ``delta``, ``delta * (|d| - delta / 2)`` above."""
    if delta <= 0:
        raise misfit("huber_loss does not support non-positive values for delta")
    d = input - target
    size = d.abs()
    losses = where(size <= delta, d * d * 0.5, (size - 0.5 * delta) * delta)
    return _weighted(losses, weight, reduction)


def _weighted(losses: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """With weights the mean is divided by their sum, as in PyTorch."""
    if weight is None:
        return reduced(losses, reduction)
    losses = losses * weight
    if reduction == "mean":
        return losses.sum() / weight.sum()
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-density of ``target`` under means ``input`` and variances ``var``.

    ``var`` has the shape of ``input``, or one value for its last axis; it is at least ``eps``.
    """
    if not isinstance(var, Tensor):
        var = input.detach() * 0.0 + var
    if var.ndim == input.ndim - 1:
        var = var.unsqueeze(-1)
    # the limit moves the value, not the gradient
    var = var + (var.detach().clamp(eps) - var.detach())
    losses = (log(var) + (input - target) ** 2 / var) * 0.5
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of counts ``target``; ``full`` adds Stirling's approximation."""
    if log_input:
        losses = exp(input) - target * input
    else:
        losses = input - target * log(input + eps)
    if full:
        large = target > 1
        y = where(large, target, 1.0)
        losses = losses + where(large, y * log(y) - y + log(y * (2 * math.pi)) * 0.5, 0.0)
    return reduced(losses, reduction)
