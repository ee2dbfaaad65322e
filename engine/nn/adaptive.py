"""Images in, images of a wanted size out: the adaptive pooling layers."""

from __future__ import annotations

from typing import Any

from engine.nn import functional as F
from engine.nn.functional.adaptive import Wanted
from engine.nn.module import Module
from engine.tensor import Tensor


class AdaptiveAvgPool(Module):
    """What the adaptive means of every rank share."""

    rank = 0

    def __init__(self, output_size: Wanted) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        out: Tensor = getattr(F, f"adaptive_avg_pool{self.rank}d")(input, self.output_size)
        return out

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """The means of near-equal parts: [n, c, l] -> [n, c, output_size]."""

    rank = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """The means of near-equal parts: [n, c, h, w] -> [n, c, *output_size]."""

    rank = 2


class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """The means of near-equal parts: [n, c, d, h, w] -> [n, c, *output_size]."""

    rank = 3


class AdaptiveMaxPool(Module):
    """What the adaptive maxima of every rank share."""

    rank = 0

    def __init__(self, output_size: Wanted, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        pool = getattr(F, f"adaptive_max_pool{self.rank}d")
        return pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """The maxima of near-equal parts: [n, c, l] -> [n, c, output_size]."""

    rank = 1


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """The maxima of near-equal parts: [n, c, h, w] -> [n, c, *output_size]."""

    rank = 2


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """The maxima of near-equal parts: [n, c, d, h, w] -> [n, c, *output_size]."""

    rank = 3
