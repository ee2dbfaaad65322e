"""Scores, or pairs of vectors, and signs or labels in, a loss out that asks for a margin."""

from __future__ import annotations

from collections.abc import Callable

from engine.arithmetic import eq, minimum, where
from engine.creation import arange, tensor
from engine.nn.functional.activation import class_mask
from engine.nn.functional.checks import misfit
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
    return reduced(far + where(_minus_one(target), 0.0, input), reduction)


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
    if input1.ndim not in (1, 2) or target.ndim != input1.ndim - 1:
        shapes = f"inputs {list(input1.shape)}, target {list(target.shape)}"
        raise misfit(f"cosine_embedding_loss takes [n, d] and [n], or [d] and []: {shapes}")
    eps = 1e-12
    lengths = ((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)
    cosine = (input1 * input2).sum(-1) / lengths.sqrt()
    near = where(target == 1, 1 - cosine, 0.0)
    far = where(_minus_one(target), (cosine - margin).clamp(0), 0.0)
    return reduced(near + far, reduction)


def _minus_one(x: Tensor) -> Tensor:
    """Where ``x`` is -1, which is the largest number of an unsigned dtype."""
    minus = tensor(-1).to(x.dtype)
    return eq(x, minus)


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
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise misfit(
            "triplet loss: anchor, positive and negative must have one number of axes, got "
            f"{anchor.ndim}, {positive.ndim} and {negative.ndim}"
        )
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
    _check_multi_margin(input, target, weight)
    if input.ndim == 0:
        input = input.reshape(1)
    axis = input.ndim - 1
    label = target if target.ndim == axis else target.reshape(input.shape[:-1])
    mask = class_mask(label, input.shape, axis)
    own = where(mask, input, 0.0).sum(axis, True)
    short = (margin - own + input).clamp(0) ** p
    if weight is not None:
        short = short * where(mask, weight, 0.0).sum(axis, True)
    losses = where(mask, 0.0, short).sum(axis) / input.shape[axis]
    return reduced(losses.reshape(target.shape), reduction)


def _check_multi_margin(input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    classes = input.shape[-1] if input.ndim else 1
    shapes = f"input {list(input.shape)}, target {list(target.shape)}"
    rows = input.shape[0] if input.ndim == 2 else 1
    if input.ndim > 2 or classes == 0 or target.ndim > 1 or target.numel() != rows:
        raise misfit(f"multi_margin_loss takes [n, c] and [n], or [c] and []: {shapes}")
    if target.dtype.kind not in "iu":
        raise misfit(f"multi_margin_loss takes integer labels, not {target.dtype}")
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        raise misfit(f"multi_margin_loss: weight {list(weight.shape)} for {classes} classes")


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum(max(0, 1 - x[label] + x[other])) / c`` over labels and others: [n, c] -> [n].

    ``target`` has the shape of ``input``; each row lists its labels before the first -1.
    """
    if tuple(input.shape) != tuple(target.shape) or input.ndim > 2:
        shapes = f"input {list(input.shape)}, target {list(target.shape)}"
        raise misfit(f"multilabel_margin_loss takes two of [n, c] or [c]: {shapes}")
    if input.ndim == 0:
        input, target = input.reshape(1), target.reshape(1)
    classes = int(input.shape[-1])
    if classes == 0:
        raise misfit(f"multilabel_margin_loss of no classes: input {list(input.shape)}")
    listed = (target < 0).long().cumsum(-1) == 0
    label = target.long().clamp(0)
    named = (label.unsqueeze(-1) == arange(classes)) & listed.unsqueeze(-1)  # [..., place, class]
    own = where(named, input.unsqueeze(-2), 0.0).sum(-1, True)
    pairs = listed.unsqueeze(-1) & ~named.any(-2, True)
    short = where(pairs, (1.0 - own + input.unsqueeze(-2)).clamp(0), 0.0)
    return reduced(short.sum((-2, -1)) / classes, reduction)
