"""Images in, images of other channels out: the convolution layers."""

from __future__ import annotations

import math
from typing import Any

from engine.creation import empty
from engine.nn import functional as F, init
from engine.nn.functional.geometry import IntOrSizes, padding_pairs, per_axis
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.tensor import Tensor

MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """What the layers of every rank share: their options, parameters and first values."""

    rank = 0
    transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes | str = 0,
        dilation: IntOrSizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ValueError("in_channels and out_channels must be divisible by groups, at least 1")
        if padding_mode not in MODES:
            raise ValueError(f"padding_mode must be one of {MODES}, not {padding_mode!r}")
        rank = self.rank
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = per_axis(kernel_size, rank), per_axis(stride, rank)
        self.dilation = per_axis(dilation, rank)
        self.padding = padding if isinstance(padding, str) else per_axis(padding, rank)
        if isinstance(padding, str):
            padding_pairs(padding, self.kernel_size, self.stride, self.dilation)
        self.output_padding = (0,) * rank
        self.padding_mode = padding_mode
        channels = (out_channels, in_channels // groups)
        if self.transposed:
            channels = (in_channels, out_channels // groups)
        self.weight = Parameter(empty(*channels, *self.kernel_size, dtype=dtype))
        values = Parameter(empty(out_channels, dtype=dtype)) if bias else None
        self.register_parameter("bias", values)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        if self.weight.numel() == 0:
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init.fans(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        padding: IntOrSizes | str = self.padding
        if self.padding_mode != "zeros":
            pairs = padding_pairs(padding, self.kernel_size, self.stride, self.dilation)
            ends = [size for pair in reversed(pairs) for size in pair]
            input, padding = F.pad(input, ends, mode=self.padding_mode), 0
        convolve = getattr(F, f"conv{self.rank}d")
        options = (self.stride, padding, self.dilation, self.groups)
        out: Tensor = convolve(input, self.weight, self.bias, *options)
        return out

    def extra_repr(self) -> str:
        ones, zeros = (1,) * self.rank, (0,) * self.rank
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class Conv1d(Convolution):
    """Cross-correlation with learned kernels: [n, c, l] -> [n, o, lo]. As ``Conv2d``."""

    rank = 1


class Conv2d(Convolution):
    """Cross-correlation with learned kernels: [n, c, h, w] -> [n, o, ho, wo].

    ``padding`` is sizes, 'same' or 'valid'; ``padding_mode`` is 'zeros', 'reflect', 'replicate'
    or 'circular'. Initialised as PyTorch does.

    >>> nn.Conv2d(1, 6, 5)(torch.zeros(2, 1, 32, 32)).shape
    Size([2, 6, 28, 28])
    """

    rank = 2


class Conv3d(Convolution):
    """Cross-correlation with learned kernels: [n, c, d, h, w] -> [n, o, do, ho, wo]."""

    rank = 3
