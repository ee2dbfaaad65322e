"""Images and boxes over them in, an image of one size for each box out (He et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from engine.creation import from_numpy, full
from engine.dispatch import cast
from engine.einsum import einsum
from engine.errors import ShapeError, Unsupported, message
from engine.gathering import index_select
from engine.locate import user_location
from engine.modes import modes
from engine.nn.functional.geometry import IntOrSizes, at_least, per_axis
from engine.shaping import cat
from engine.tensor import Tensor
from ir.types import I64

Boxes: TypeAlias = Tensor | Sequence[Tensor]


def roi_align(
    input: Tensor,
    boxes: Boxes,
    output_size: IntOrSizes,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """``input`` [n, c, h, w] in k ``boxes``, averaged to [k, c, *output_size].

    ``boxes`` [k, 5] hold (image, x1, y1, x2, y2), or are a list of [l, 4], one for each image;
    times ``spatial_scale`` they are places of ``input``. Each part is the mean of
    ``sampling_ratio`` squared bilinear samples; where it is not positive their number follows the
    box's size, which depends on data: ``Unsupported`` inside ``jit``. ``aligned`` shifts boxes by
    half a place, so that pixels are counted by their centres. As in torchvision, boxes get no
    gradient. Memory grows with k times the image.
    """
    rois = _with_images(boxes, input).detach()
    sizes = per_axis(output_size, 2, "output_size")
    at_least(1, output_size=sizes)
    corners = cast(rois[:, 1:], input.dtype) * spatial_scale - (0.5 if aligned else 0.0)
    lines = []
    for axis, size in enumerate(int(size) for size in input.shape[2:]):
        start, length = corners[:, 1 - axis], corners[:, 3 - axis] - corners[:, 1 - axis]
        length = length if aligned else length.clamp(min=1.0)
        lines.append(_weights(start, length, sizes[axis], size, sampling_ratio))
    images = index_select(input, 0, cast(rois[:, 0], I64))
    return einsum("kph,kchw,kqw->kcpq", lines[0], images, lines[1])


def _weights(start: Tensor, length: Tensor, parts: int, size: int, ratio: int) -> Tensor:
    """What every place along one axis counts in every part: [k, parts, size].

    A sample weighs its two neighbours; beyond a place outside the image it is zero.
    """
    part = length / parts
    count = _samples(part, ratio)
    most = ratio if ratio > 0 else int(count.cpu().numpy().max(initial=1))
    sample = from_numpy(np.arange(most).astype(start.dtype))
    offset = from_numpy(np.arange(parts).astype(start.dtype))
    inside = (sample + 0.5) / count.clamp(min=1).unsqueeze(-1)
    at = offset.unsqueeze(-1) + inside.unsqueeze(1)
    at = start.reshape(-1, 1, 1) + part.reshape(-1, 1, 1) * at
    counted = (sample < count.unsqueeze(-1)).unsqueeze(1) & (at >= -1.0) & (at <= float(size))
    places = from_numpy(np.arange(size).astype(start.dtype))
    far = (at.clamp(0, size - 1).unsqueeze(-1) - places).abs()
    near = (1 - far).clamp(min=0) * cast(counted, start.dtype).unsqueeze(-1)
    return near.sum(2) / count.clamp(min=1).reshape(-1, 1, 1)


def _samples(part: Tensor, ratio: int) -> Tensor:
    """How many samples an axis of every box has, [k]."""
    if ratio > 0:
        return part * 0 + float(ratio)
    if modes.trace is not None:
        text = "roi_align with sampling_ratio <= 0 inside jit: the samples' number depends on data"
        raise Unsupported(message(user_location(), text, "give a positive sampling_ratio"))
    return part.ceil()


def _with_images(boxes: Boxes, input: Tensor) -> Tensor:
    """Boxes as [k, 5], the number of the image first."""
    if not isinstance(boxes, Tensor):
        rows = [
            cat([full((x.shape[0], 1), number, dtype=x.dtype), x], 1)
            for number, x in enumerate(boxes)
        ]
        boxes = cat(rows, 0)
    if boxes.ndim != 2 or boxes.shape[1] != 5 or input.ndim != 4:
        text = "roi_align takes images [n, c, h, w] and boxes [k, 5], or a list of [l, 4], not "
        text += f"{list(input.shape)} and {list(boxes.shape)}"
        raise ShapeError(message(user_location(), text))
    return boxes
