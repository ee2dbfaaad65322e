"""Images in, smaller images out: the pooling layers."""

from __future__ import annotations

from typing import Any

from engine.nn import functional as F
from engine.nn.functional.fractional import Ratio, ratio_per_axis
from engine.nn.functional.geometry import IntOrSizes, per_axis
from engine.nn.module import Module
from engine.tensor import Tensor


class MaxPool(Module):
    """What the maximum layers of every rank share."""

    rank = 0

    def __init__(
        self,
        kernel_size: IntOrSizes,
        stride: IntOrSizes | None = None,
        padding: IntOrSizes = 0,
        dilation: IntOrSizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        options = (self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return getattr(F, f"max_pool{self.rank}d")(input, self.kernel_size, *options)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(MaxPool):
    """The maximum of every window: [n, c, l] -> [n, c, lo]."""

    rank = 1


class MaxPool2d(MaxPool):
    """The maximum of every window: [n, c, h, w] -> [n, c, ho, wo]."""

    rank = 2


class MaxPool3d(MaxPool):
    """The maximum of every window: [n, c, d, h, w] -> [n, c, do, ho, wo]."""

    rank = 3


class MaxUnpool(Module):
    """What the unpooling layers of every rank share."""

    rank = 0

    def __init__(
        self,
        kernel_size: IntOrSizes,
        stride: IntOrSizes | None = None,
        padding: IntOrSizes = 0,
    ) -> None:
        super().__init__()
        self.kernel_size = per_axis(kernel_size, self.rank)
        self.padding = per_axis(padding, self.rank)
        self.stride = self.kernel_size if stride is None else per_axis(stride, self.rank)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        options = (self.kernel_size, self.stride, self.padding, output_size)
        out: Tensor = getattr(F, f"max_unpool{self.rank}d")(input, indices, *options)
        return out

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(MaxUnpool):
    """Maxima back at the places ``MaxPool1d`` found them, zeros elsewhere."""

    rank = 1


class MaxUnpool2d(MaxUnpool):
    """Maxima back at the places ``MaxPool2d`` found them, zeros elsewhere."""

    rank = 2


class MaxUnpool3d(MaxUnpool):
    """Maxima back at the places ``MaxPool3d`` found them, zeros elsewhere."""

    rank = 3


class AvgPool1d(Module):
    """The mean of every window: [n, c, l] -> [n, c, lo]."""

    def __init__(
        self,
        kernel_size: IntOrSizes,
        stride: IntOrSizes | None = None,
        padding: IntOrSizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = _single(kernel_size), _single(padding)
        self.stride = self.kernel_size if stride is None else _single(stride)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        options = (self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return F.avg_pool1d(input, self.kernel_size, *options)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _single(value: IntOrSizes) -> IntOrSizes:
    """The tuple that PyTorch shows for the options of one axis."""
    return (value,) if isinstance(value, int) else value


class AvgPool2d(Module):
    """The mean of every window: [n, c, h, w] -> [n, c, ho, wo]."""

    rank = 2

    def __init__(
        self,
        kernel_size: IntOrSizes,
        stride: IntOrSizes | None = None,
        padding: IntOrSizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        options = (self.ceil_mode, self.count_include_pad, self.divisor_override)
        pool = getattr(F, f"avg_pool{self.rank}d")
        out: Tensor = pool(input, self.kernel_size, self.stride, self.padding, *options)
        return out

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(AvgPool2d):
    """The mean of every window: [n, c, d, h, w] -> [n, c, do, ho, wo]."""

    rank = 3


class LPPool(Module):
    """What the norm layers of every rank share."""

    rank = 0

    def __init__(
        self,
        norm_type: float,
        kernel_size: IntOrSizes,
        stride: IntOrSizes | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        options = (float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        out: Tensor = getattr(F, f"lp_pool{self.rank}d")(input, *options)
        return out

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, ceil_mode={self.ceil_mode}"
        )


class LPPool1d(LPPool):
    """The norm of every window: [n, c, l] -> [n, c, lo]."""

    rank = 1


class LPPool2d(LPPool):
    """The norm of every window: [n, c, h, w] -> [n, c, ho, wo]."""

    rank = 2


class LPPool3d(LPPool):
    """The norm of every window: [n, c, d, h, w] -> [n, c, do, ho, wo]."""

    rank = 3


class FractionalMaxPool(Module):
    """What the layers of random windows share."""

    rank = 0

    def __init__(
        self,
        kernel_size: IntOrSizes,
        output_size: IntOrSizes | None = None,
        output_ratio: Ratio = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            name = type(self).__name__
            raise ValueError(f"{name} takes exactly one of output_size and output_ratio")
        rank = self.rank
        self.kernel_size, self.return_indices = per_axis(kernel_size, rank), return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else per_axis(output_size, rank)
        self.output_ratio = ratio_per_axis(output_ratio, rank) or None
        if any(not 0 < ratio < 1 for ratio in self.output_ratio or ()):
            raise ValueError(f"output_ratio must be between 0 and 1, not {output_ratio}")

    def forward(self, input: Tensor) -> Any:
        options = (self.output_size, self.output_ratio, self.return_indices, self._random_samples)
        return getattr(F, f"fractional_max_pool{self.rank}d")(input, self.kernel_size, *options)


class FractionalMaxPool2d(FractionalMaxPool):
    """The maxima of windows at random places: [n, c, h, w] -> [n, c, *output_size]."""

    rank = 2


class FractionalMaxPool3d(FractionalMaxPool):
    """The maxima of windows at random places: [n, c, d, h, w] -> [n, c, *output_size]."""

    rank = 3
