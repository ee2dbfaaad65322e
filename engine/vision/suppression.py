"""Scored boxes in, the positions of those that no better box overlaps much out.

How many stay depends on data, so both are for use outside ``jit``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.creation import from_numpy
from engine.errors import ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The positions (int64) of the ``boxes`` [n, 4] to keep, best ``scores`` [n] first.

    Going down the scores, a box is dropped when it overlaps a kept one with an intersection over
    union above ``iou_threshold``. Equal scores stay in the order given. Raises ``Unsupported``
    inside ``jit``.

    >>> boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]])
    >>> vision.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)
    tensor([1, 2])
    """
    return _suppressed("nms", boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """``nms`` within each class: a box is only dropped for one of the same ``idxs`` [n]."""
    if tuple(idxs.shape) != tuple(scores.shape):
        raise _misfit(f"idxs {list(idxs.shape)} and scores {list(scores.shape)} must be alike")
    return _suppressed("batched_nms", boxes, scores, idxs, iou_threshold)


def _suppressed(
    name: str, boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float
) -> Tensor:
    if modes.trace is not None:
        text = f"{name} inside jit: the result's size depends on data"
        raise Unsupported(message(user_location(), text, "call it on the step's results"))
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.ndim != 1 or len(scores) != len(boxes):
        given = f"{list(boxes.shape)} and {list(scores.shape)}"
        raise _misfit(f"{name} takes boxes [n, 4] and scores [n], not {given}")
    corners = boxes.detach().cpu().numpy()
    labels = np.zeros(len(corners), np.int64) if classes is None else classes.detach().cpu().numpy()
    kept = _keep(corners, scores.detach().cpu().numpy(), labels, threshold)
    return from_numpy(kept).to(boxes.device)


def _keep(corners: Array, scores: Array, labels: Array, threshold: float) -> Array:
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    x1, y1, x2, y2 = corners[order].T
    labels, areas = labels[order], (x2 - x1) * (y2 - y1)
    dropped = np.zeros(len(order), bool)
    for i in range(len(order)):
        if dropped[i]:
            continue
        rest = slice(i + 1, None)
        width = np.maximum(np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]), 0)
        height = np.maximum(np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]), 0)
        common = width * height
        with np.errstate(invalid="ignore", divide="ignore"):
            overlap = common / (areas[i] + areas[rest] - common)
        dropped[rest] |= (overlap > threshold) & (labels[rest] == labels[i])
    kept: Array = order[~dropped].astype(np.int64)
    return kept


def _misfit(text: str) -> ShapeError:
    return ShapeError(message(user_location(), text))
