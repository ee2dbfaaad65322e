"""Images in, the same images at other sizes out: the upsampling layers."""

from __future__ import annotations

from collections.abc import Sequence

from engine.nn import functional as F
from engine.nn.module import Module
from engine.tensor import Tensor


class Upsample(Module):
    """``interpolate`` to ``size``, or by ``scale_factor``: [n, c, h, w] -> [n, c, ho, wo]."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor: float | tuple[float, ...] | None = None
        if isinstance(scale_factor, list | tuple):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        elif isinstance(scale_factor, int | float):
            self.scale_factor = float(scale_factor)
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        options = (self.mode, self.align_corners, self.recompute_scale_factor)
        return F.interpolate(input, self.size, self.scale_factor, *options)

    def extra_repr(self) -> str:
        told = f"size={self.size}"
        if self.scale_factor is not None:
            told = f"scale_factor={self.scale_factor}"
        return f"{told}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` by the nearest place."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` linearly along two axes, the corners on the corners."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
