"""The parts of detectors, by torchvision's names: boxes, their overlap, suppression, regions."""

from engine.nn.functional import sigmoid_focal_loss
from engine.vision.boxes import (
    box_area,
    box_convert,
    clip_boxes_to_image,
    remove_small_boxes,
)
from engine.vision.losses import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
)
from engine.vision.overlap import (
    box_iou,
    complete_box_iou,
    distance_box_iou,
    generalized_box_iou,
)
from engine.vision.regions import roi_align
from engine.vision.suppression import batched_nms, nms

__all__ = [
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "complete_box_iou_loss",
    "distance_box_iou",
    "distance_box_iou_loss",
    "generalized_box_iou",
    "generalized_box_iou_loss",
    "nms",
    "remove_small_boxes",
    "roi_align",
    "sigmoid_focal_loss",
]
