"""Boxes in, boxes in another form (or cut, or fewer of them) out.

A box is four numbers along the last axis: its corners (x1, y1, x2, y2) unless a format says
otherwise.
"""

from __future__ import annotations

from engine.dispatch import cast
from engine.dtypes import float32, int32
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.masks import nonzero
from engine.shaping import stack
from engine.tensor import Tensor
from ir.types import F64, I64, is_float

FORMATS = ("xyxy", "xywh", "cxcywh")


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes [..., 4] from one format to another, a new tensor.

    'xyxy' is two opposite corners, 'xywh' a corner and the sizes, 'cxcywh' the centre and the
    sizes. Raises ValueError for another word.

    >>> vision.box_convert(torch.tensor([[2.0, 3.0, 4.0, 6.0]]), "xywh", "xyxy")
    tensor([[2., 3., 6., 9.]])
    """
    if in_fmt not in FORMATS or out_fmt not in FORMATS:
        raise ValueError(f"formats of boxes are {FORMATS}, not {in_fmt!r} and {out_fmt!r}")
    check_boxes("box_convert", boxes)
    if in_fmt == out_fmt:
        return boxes.clone()
    return _from_corners(_to_corners(boxes, in_fmt), out_fmt)


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """The areas of ``boxes`` [..., 4], [...]; whole numbers as int32 at least."""
    check_boxes("box_area", boxes)
    if fmt not in FORMATS:
        raise ValueError(f"formats of boxes are {FORMATS}, not {fmt!r}")
    a, b, c, d = sides(wide(boxes))
    return (c - a) * (d - b) if fmt == "xyxy" else c * d


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The parts of ``boxes`` [..., 4] that lie in an image of ``size`` (height, width)."""
    check_boxes("clip_boxes_to_image", boxes)
    height, width = size
    limits = (width, height, width, height)
    cut = [x.clamp(0, limit) for x, limit in zip(sides(boxes), limits, strict=True)]
    return stack(cut, -1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The positions [k] of the ``boxes`` [n, 4] whose sides are both ``min_size`` or longer.

    How many there are depends on data: ``Unsupported`` inside ``jit``.
    """
    check_boxes("remove_small_boxes", boxes)
    x1, y1, x2, y2 = sides(boxes)
    keep: Tensor = (x2 - x1 >= min_size) & (y2 - y1 >= min_size)
    (places,) = nonzero(keep, as_tuple=True)
    assert isinstance(places, Tensor)
    return places


def check_boxes(name: str, *boxes: Tensor) -> None:
    """ShapeError unless the last axis of all has four numbers, DTypeError for bools."""
    for x in boxes:
        if x.ndim == 0 or x.shape[-1] != 4:
            text = f"{name} takes boxes [..., 4], not {list(x.shape)}"
            raise ShapeError(message(user_location(), text))
        if x.dtype.kind == "b":
            text = f"{name} takes boxes of numbers, not {x.dtype}"
            raise DTypeError(message(user_location(), text))


def sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four numbers of every box, [...] each."""
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def wide(x: Tensor) -> Tensor:
    """``x`` in a dtype that products do not overflow at once: float32 or int32 at least."""
    if is_float(x.dtype):
        return x if x.dtype in (float32, F64) else cast(x, float32)
    return x if x.dtype in (int32, I64) else cast(x, int32)


def _to_corners(boxes: Tensor, fmt: str) -> Tensor:
    x, y, w, h = sides(boxes)
    if fmt == "xywh":
        return stack([x, y, x + w, y + h], -1)
    if fmt == "cxcywh":
        return stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], -1)
    return boxes


def _from_corners(boxes: Tensor, fmt: str) -> Tensor:
    x1, y1, x2, y2 = sides(boxes)
    if fmt == "xywh":
        return stack([x1, y1, x2 - x1, y2 - y1], -1)
    if fmt == "cxcywh":
        centre = ((x1 + x2) / 2, (y1 + y2) / 2)
        return stack([*centre, *(cast(s, centre[0].dtype) for s in (x2 - x1, y2 - y1))], -1)
    return boxes
