"""Predicted boxes and wanted ones in, a loss for each pair (or their mean or sum) out.

Boxes are corners (x1, y1, x2, y2), the i-th of one set is held against the i-th of the other.
"""

from __future__ import annotations

from engine.arithmetic import maximum, minimum, where
from engine.dispatch import cast
from engine.dtypes import float32
from engine.nn.functional.reduction import reduced
from engine.tensor import Tensor
from engine.vision.boxes import check_boxes, sides
from engine.vision.overlap import aspect
from ir.types import is_float


def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """One less the generalised IoU of each pair: [n, 4] and [n, 4] -> [n] (Rezatofighi, 2019).

    ``reduction`` is 'none', 'mean' or 'sum'; the mean of no boxes is 0.
    """
    boxes1, boxes2 = _floats("generalized_box_iou_loss", boxes1, boxes2)
    common, union = _common_and_union(boxes1, boxes2)
    width, height = _hull(boxes1, boxes2)
    hull = width * height
    losses = 1 - (common / (union + eps) - (hull - union) / (hull + eps))
    return _reduced(losses, reduction)


def distance_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """One less the distance IoU of each pair: [n, 4] and [n, 4] -> [n] (Zheng, 2020).

    ``reduction`` is 'none', 'mean' or 'sum'; the mean of no boxes is 0.
    """
    boxes1, boxes2 = _floats("distance_box_iou_loss", boxes1, boxes2)
    return _reduced(_distance_loss(boxes1, boxes2, eps)[0], reduction)


def complete_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """One less the complete IoU of each pair: [n, 4] and [n, 4] -> [n] (Zheng, 2020).

    ``reduction`` is 'none', 'mean' or 'sum'; the mean of no boxes is 0.
    """
    boxes1, boxes2 = _floats("complete_box_iou_loss", boxes1, boxes2)
    losses, iou = _distance_loss(boxes1, boxes2, eps)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = sides(boxes1), sides(boxes2)
    losses = losses + aspect(u2 - u1, v2 - v1, x2 - x1, y2 - y1, iou, eps)
    return _reduced(losses, reduction)


def _distance_loss(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    common, union = _common_and_union(boxes1, boxes2)
    iou = common / (union + eps)
    width, height = _hull(boxes1, boxes2)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = sides(boxes1), sides(boxes2)
    apart = ((x1 + x2) / 2 - (u1 + u2) / 2) ** 2 + ((y1 + y2) / 2 - (v1 + v2) / 2) ** 2
    return 1 - iou + apart / (width**2 + height**2 + eps), iou


def _common_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    (x1, y1, x2, y2), (u1, v1, u2, v2) = sides(boxes1), sides(boxes2)
    width = minimum(x2, u2) - maximum(x1, u1)
    height = minimum(y2, v2) - maximum(y1, v1)
    common = where((width > 0) & (height > 0), width * height, 0.0)
    return common, (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common


def _hull(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    (x1, y1, x2, y2), (u1, v1, u2, v2) = sides(boxes1), sides(boxes2)
    return maximum(x2, u2) - minimum(x1, u1), maximum(y2, v2) - minimum(y1, v1)


def _floats(name: str, *boxes: Tensor) -> tuple[Tensor, ...]:
    check_boxes(name, *boxes)
    return tuple(x if is_float(x.dtype) else cast(x, float32) for x in boxes)


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean" and losses.numel() == 0:
        return losses.sum() * 0.0
    return reduced(losses, reduction)
