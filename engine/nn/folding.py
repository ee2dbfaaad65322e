"""Images in, their windows as columns out, and back: the folding layers."""

from __future__ import annotations

from engine.nn import functional as F
from engine.nn.functional.geometry import IntOrSizes
from engine.nn.module import Module
from engine.tensor import Tensor


class Unfold(Module):
    """Every window as a column: [n, c, h, w] -> [n, c * kh * kw, windows]."""

    def __init__(
        self,
        kernel_size: IntOrSizes,
        dilation: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        stride: IntOrSizes = 1,
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Fold(Unfold):
    """The sum of overlapping windows: [n, c * kh * kw, windows] -> [n, c, *output_size]."""

    def __init__(
        self,
        output_size: IntOrSizes,
        kernel_size: IntOrSizes,
        dilation: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        stride: IntOrSizes = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        options = (self.kernel_size, self.dilation, self.padding, self.stride)
        return F.fold(input, self.output_size, *options)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
