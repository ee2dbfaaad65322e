"""Scores, or pairs of vectors, and signs or labels in, a loss out that asks for a margin."""

from __future__ import annotations

from collections.abc import Callable

from engine.arithmetic import minimum, where
from engine.nn.functional.activation import class_mask
from engine.nn.functional.distance import pairwise_distance
from engine.nn.functional.nonlinear import logsigmoid
from engine.nn.functional.reduction import reduced
from engine.tensor import Tensor


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` for targets 1, ``max(0, margin - x)`` for targets -1."""
    far = where(target != 1, (margin - input).clamp(0), 0.0)
    return reduced(far + where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -target * (input1 - input2) + margin)``."""
    return reduced((-target * (input1 - input2) + margin).clamp(0), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))``."""
    return reduced(-logsigmoid(target * input), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` for targets 1, ``max(0, cos - margin)`` for -1: [n, d], [n, d], [n] -> [n]."""
    eps = 1e-12
    lengths = ((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)
    cosine = (input1 * input2).sum(-1) / lengths.sqrt()
    near = where(target == 1, 1 - cosine, 0.0)
    return reduced(near + where(target == -1, (cosine - margin).clamp(0), 0.0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` by the ``p``-norm."""

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=distance,
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` by any distance; ``swap`` may measure from the positive."""
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced((near - far + margin).clamp(0), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of logits, the mean over the classes (last axis)."""
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduced((losses if weight is None else losses * weight).mean(-1), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum(max(0, margin - x[label] + x)^p) / c`` over the other classes: [n, c], [n] -> [n]."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    axis = input.ndim - 1
    label = target if target.ndim == axis else target.reshape(input.shape[:-1])
    mask = class_mask(label, input.shape, axis)
    own = where(mask, input, 0.0).sum(axis, True)
    short = (margin - own + input).clamp(0) ** p
    if weight is not None:
        short = short * where(mask, weight, 0.0).sum(axis, True)
    return reduced(where(mask, 0.0, short).sum(axis) / input.shape[axis], reduction)
