"""Two sets of boxes in, how much each of one overlaps each of the other out.

Boxes are corners (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2. Leading axes of the two sets
broadcast.
"""

from __future__ import annotations

import math

from engine.arithmetic import maximum, minimum
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.tensor import Tensor
from engine.trigonometry import atan
from engine.vision.boxes import FORMATS, box_area, box_convert, check_boxes, sides, wide


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union of every pair: [..., n, 4] and [..., m, 4] -> [..., n, m].

    Two empty boxes give NaN, as in torchvision.

    >>> vision.box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([[0.3333]])
    """
    if fmt not in FORMATS:
        raise ValueError(f"formats of boxes are {FORMATS}, not {fmt!r}")
    if fmt != "xyxy":
        boxes1, boxes2 = (box_convert(boxes, fmt, "xyxy") for boxes in (boxes1, boxes2))
    common, union = _common_and_union("box_iou", boxes1, boxes2)
    return common / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU less the part of the hull that neither box covers: [..., n, m] (Rezatofighi, 2019)."""
    common, union = _common_and_union("generalized_box_iou", boxes1, boxes2)
    width, height = _hull(boxes1, boxes2)
    hull = width * height
    return common / union - (hull - union) / hull


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """IoU less the squared distance of centres over the hull's squared diagonal (Zheng, 2020)."""
    return _iou_and_distance(boxes1, boxes2, eps)[1]


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """``distance_box_iou`` less the disagreement of the aspect ratios: [..., n, m].

    The weight of that disagreement is taken as a constant by the gradient.
    """
    iou, near = _iou_and_distance(boxes1, boxes2, eps)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = _pairs(boxes1, boxes2)
    return near - aspect(x2 - x1, y2 - y1, u2 - u1, v2 - v1, iou, eps)


def aspect(
    w: Tensor, h: Tensor, w_other: Tensor, h_other: Tensor, iou: Tensor, eps: float
) -> Tensor:
    """The weighted disagreement of aspect ratios (Zheng, 2020)."""
    v = (4 / math.pi**2) * (atan(w / h) - atan(w_other / h_other)) ** 2
    alpha = (v / (1 - iou + v + eps)).detach()
    return alpha * v


def _iou_and_distance(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    common, union = _common_and_union("distance_box_iou", boxes1, boxes2)
    iou = common / union
    width, height = _hull(boxes1, boxes2)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = _pairs(boxes1, boxes2)
    apart = ((x1 + x2) / 2 - (u1 + u2) / 2) ** 2 + ((y1 + y2) / 2 - (v1 + v2) / 2) ** 2
    return iou, iou - apart / (width**2 + height**2 + eps)


def _common_and_union(name: str, boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    check_boxes(name, boxes1, boxes2)
    if boxes1.ndim < 2 or boxes2.ndim < 2:
        text = f"{name} takes sets of boxes, not {list(boxes1.shape)} and {list(boxes2.shape)}"
        raise ShapeError(message(user_location(), text, "a single box is boxes[None]"))
    (x1, y1, x2, y2), (u1, v1, u2, v2) = _pairs(boxes1, boxes2)
    width = wide(minimum(x2, u2) - maximum(x1, u1)).clamp(min=0)
    height = wide(minimum(y2, v2) - maximum(y1, v1)).clamp(min=0)
    common = width * height
    areas = box_area(boxes1).unsqueeze(-1) + box_area(boxes2).unsqueeze(-2)
    return common, areas - common


def _hull(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """The sides of the smallest box around every pair."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = _pairs(boxes1, boxes2)
    width = wide(maximum(x2, u2) - minimum(x1, u1)).clamp(min=0)
    height = wide(maximum(y2, v2) - minimum(y1, v1)).clamp(min=0)
    return width, height


def _pairs(boxes1: Tensor, boxes2: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The sides of both sets, shaped so that they broadcast to all pairs."""
    return (
        tuple(side.unsqueeze(-1) for side in sides(boxes1)),
        tuple(side.unsqueeze(-2) for side in sides(boxes2)),
    )
