"""Predictions and targets in, a loss out.

A label picks its log-probability by comparing it with the class numbers: a select and a sum, no
gather. So a loss fuses with the softmax before it, and its gradient is elementwise.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np

from engine.creation import full_like
from engine.dispatch import apply
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.nn.functional.activation import class_mask, log_softmax
from engine.nn.functional.checks import misfit
from engine.nn.functional.reduction import reduced
from engine.tensor import Tensor
from ir.graph import Location
from ir.table import Array
from ir.types import is_float


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of logits [n, c, ...] and labels [n, ...], or probabilities [n, c, ...].

    Labels are integers; ``ignore_index`` ones count nowhere. Raises ``EngineError`` for labels
    outside the classes; within a compiled step, where values are not known, the loss is NaN.

    >>> F.cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3])).item()
    1.3862943649291992
    """
    del size_average, reduce  # PyTorch's own relics; here to keep the places of the arguments
    if not 0.0 <= label_smoothing <= 1.0:
        raise misfit(f"label_smoothing must be between 0.0 and 1.0, got {label_smoothing}")
    log_p = log_softmax(input, _class_axis(input))
    if is_float(target.dtype):
        if ignore_index >= 0:
            raise misfit("ignore_index is not supported for floating point target")
        return _against_probabilities(log_p, target, weight, reduction, label_smoothing)
    return _against_labels(log_p, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability that ``input`` [n, c, ...] gives to the labels [n, ...]."""
    del size_average, reduce
    return _against_labels(input, target, weight, ignore_index, reduction, 0.0)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean (or 'sum', or 'none' of it) of the squared differences.

    Warns where the two shapes differ and broadcast, as PyTorch does: that is rarely meant.
    """
    del size_average, reduce
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"mse_loss: input {list(input.shape)} and target {list(target.shape)} differ and "
            "will be broadcast; reshape one of them if that is not meant",
            stacklevel=2,
        )
    difference = input - target
    return reduced(difference * difference, reduction)


def _class_axis(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def _against_labels(
    log_p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    axis = _class_axis(log_p)
    _check_labels(log_p, target, axis, ignore_index)
    if weight is not None and weight.dtype != log_p.dtype:
        what = f"the classes' weights are {weight.dtype}, the input {log_p.dtype}"
        raise DTypeError(message(user_location(), what))
    mask = class_mask(target, log_p.shape, axis)
    counted = target != ignore_index
    share = counted.to(log_p.dtype)  # what each label weighs in the mean
    per_class = None if weight is None else _along(weight, log_p, axis)
    scores = log_p if per_class is None else log_p * per_class
    losses = -_masked(mask, scores).sum(axis)
    if per_class is not None:
        share = _masked(mask, per_class).sum(axis) * share
    if ignore_index >= 0:
        losses = _masked(counted, losses)
    if smoothing:
        spread = _masked(counted, -scores.sum(axis)) * (smoothing / log_p.shape[axis])
        losses = losses * (1 - smoothing) + spread
    known = (target >= 0) & (target < log_p.shape[axis])
    poison = apply("select", known | ~counted, full_like(share, 0.0), full_like(share, math.nan))
    if reduction == "mean":
        mean: Tensor = losses.sum() / (share + poison).sum()
        return mean
    return reduced(losses + poison, reduction)


def _against_probabilities(
    log_p: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    axis = _class_axis(log_p)
    if tuple(target.shape) != tuple(log_p.shape):
        raise misfit(
            f"cross_entropy: probabilities {list(target.shape)} for logits {list(log_p.shape)}",
            hint="probabilities have the shape of the logits; labels are integers (call .long())",
        )
    if smoothing:
        target = target * (1 - smoothing) + smoothing / log_p.shape[axis]
    scores = log_p if weight is None else log_p * _along(weight, log_p, axis)
    losses = -(scores * target).sum(axis)
    return reduced(losses, reduction)


def _along(weight: Tensor, like: Tensor, axis: int) -> Tensor:
    """Class weights repeated to the shape of the log-probabilities."""
    return apply("broadcast", weight, shape=tuple(like.shape), axes=(axis,))


def _masked(mask: Tensor, values: Tensor) -> Tensor:
    return apply("select", mask, values, full_like(values, 0.0))


def _check_labels(log_p: Tensor, target: Tensor, axis: int, ignore_index: int) -> None:
    wanted = (*log_p.shape[:axis], *log_p.shape[axis + 1 :])
    if tuple(target.shape) != wanted:
        raise misfit(
            f"cross_entropy: labels {list(target.shape)} for logits {list(log_p.shape)}",
            hint=f"one integer label per prediction: shape {list(wanted)}",
        )
    rule = partial(_check_range, user_location(), log_p.shape, log_p.shape[axis], ignore_index)
    if modes.trace is not None:
        modes.trace.check(target, rule)
    else:
        rule(target.cpu().numpy())


def _check_range(
    location: Location | None, shape: Any, classes: int, ignore_index: int, values: Array
) -> None:
    """ShapeError where a label is no class; a compiled step asks before it touches any state."""
    if values.dtype == np.int64 and values.size and values.view(np.uint64).max() < classes:
        return  # negative numbers are large ones there: one pass for nearly every batch
    outside = ((values < 0) | (values >= classes)) & (values != ignore_index)
    if outside.any():
        raise ShapeError(
            message(
                location,
                f"cross_entropy: label {values[outside].flat[0]} is out of bounds for {classes} "
                "classes",
                f"labels run from 0 to {classes - 1}; the logits are {list(shape)}",
            )
        )
