"""Probabilities or logits and targets in, a loss out: binary cross-entropy, divergence, focal."""

from __future__ import annotations

from engine.arithmetic import exp, log, where
from engine.nn.functional.checks import misfit
from engine.nn.functional.nonlinear import logsigmoid
from engine.nn.functional.reduction import reduced
from engine.tensor import Tensor


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """The cross-entropy of probabilities and targets of one shape; logarithms at least -100."""
    _same_shapes("binary_cross_entropy", input, target)
    losses = -(target * _limited_log(input) + (1 - target) * _limited_log(1 - input))
    return reduced(losses if weight is None else losses * weight, reduction)


def _limited_log(x: Tensor) -> Tensor:
    zero = x == 0
    return where(zero, -100.0, log(where(zero, 1.0, x)).clamp(-100.0))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The cross-entropy of sigmoid(input) and targets of one shape, without overflow."""
    _same_shapes("binary_cross_entropy_with_logits", input, target)
    kept = logsigmoid(input)
    if pos_weight is not None:
        kept = ((pos_weight - 1) * target + 1) * kept
    losses = (1 - target) * input - kept
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``target * (log(target) - input)`` for log-probabilities ``input``; knows 'batchmean'."""
    if log_target:
        losses = exp(target) * (target - input)
    else:
        zero = target == 0
        losses = where(zero, 0.0, target * log(where(zero, 1.0, target))) - target * input
    if reduction == "batchmean":
        return losses.sum() / input.shape[0] if input.ndim else losses.sum()
    return reduced(losses, reduction)


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> Tensor:
    """Binary cross-entropy that counts easy examples less (Lin et al., 2017)."""
    p = inputs.sigmoid()
    losses = binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    miss = p * (1 - targets) + (1 - p) * targets
    losses = losses * miss**gamma
    if alpha >= 0:
        losses = losses * (targets * alpha + (1 - targets) * (1 - alpha))
    return reduced(losses, reduction)


def _same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise misfit(
            f"{name}: target {list(target.shape)} for input {list(input.shape)}",
            "the two must have one shape",
        )
