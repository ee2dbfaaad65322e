"""Images in, larger images out: the layers of transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.nn import functional as F
from engine.nn.convolution import Convolution
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrSizes, Sizes, per_axis, span
from engine.tensor import Tensor


class ConvolutionTranspose(Convolution):
    """What the transposed layers of every rank share."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        output_padding: IntOrSizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrSizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f"a transposed convolution pads with zeros, not {padding_mode!r}")
        size = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        super().__init__(*size, bias, padding_mode, device, dtype)
        self.output_padding = per_axis(output_padding, self.rank)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self.output_padding if output_size is None else self._padding_to(input, output_size)
        convolve = getattr(F, f"conv_transpose{self.rank}d")
        options = (self.stride, self.padding, more, self.groups, self.dilation)
        out: Tensor = convolve(input, self.weight, self.bias, *options)
        return out

    def _padding_to(self, input: Tensor, output_size: Sequence[int]) -> Sizes:
        """The output padding that gives ``output_size``; ValueError where none does."""
        batched = input.ndim == self.rank + 2
        lead, wanted = 1 + batched, list(output_size)
        if len(wanted) == lead + self.rank:
            wanted = wanted[lead:]
        if len(wanted) != self.rank:
            raise misfit(
                f"output_size {list(output_size)} must hold {self.rank} or {lead + self.rank} sizes"
            )
        more = []
        reach = span(self.kernel_size, self.dilation)
        padding = per_axis(self.padding, self.rank) if not isinstance(self.padding, str) else ()
        geometry = zip(wanted, self.stride, padding, reach, strict=True)
        for axis, (size, stride, edge, extent) in enumerate(geometry):
            least = (int(input.shape[lead + axis]) - 1) * stride - 2 * edge + extent
            if not least <= size < least + stride:
                raise misfit(
                    f"output_size {size} of axis {axis} must be from {least} to "
                    f"{least + stride - 1}"
                )
            more.append(size - least)
        return tuple(more)


class ConvTranspose1d(ConvolutionTranspose):
    """The transpose of ``Conv1d``: [n, c, l] -> [n, o, lo]. As ``ConvTranspose2d``."""

    rank = 1


class ConvTranspose2d(ConvolutionTranspose):
    """The transpose of ``Conv2d``: [n, c, h, w] -> [n, o, ho, wo].

    ``output_size`` of a call chooses among the sizes that the stride maps to one.

    >>> nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)(torch.zeros(2, 8, 7, 7)).shape
    Size([2, 3, 14, 14])
    """

    rank = 2


class ConvTranspose3d(ConvolutionTranspose):
    """The transpose of ``Conv3d``: [n, c, d, h, w] -> [n, o, do, ho, wo]."""

    rank = 3
