"""Images in, images with borders out: the padding layers."""

from __future__ import annotations

from engine.nn import functional as F
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrSizes, Sizes, per_axis
from engine.nn.module import Module
from engine.tensor import Tensor


class Padding(Module):
    """What all share: ``padding`` is one int, or (low, high) of the last axis, the one before..."""

    rank = 0
    mode = "constant"

    def __init__(self, padding: IntOrSizes) -> None:
        super().__init__()
        self.padding: Sizes = per_axis(padding, 2 * self.rank, "padding")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPadding(Padding):
    """What the constant ones share."""

    def __init__(self, padding: IntOrSizes, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPadding):
    """Borders of ``value`` around the last axis."""

    rank = 1


class ConstantPad2d(ConstantPadding):
    """Borders of ``value`` around the last 2 axes."""

    rank = 2


class ConstantPad3d(ConstantPadding):
    """Borders of ``value`` around the last 3 axes."""

    rank = 3


class ZeroPad1d(Padding):
    """Borders of zeros around the last axis."""

    rank = 1


class ZeroPad2d(Padding):
    """Borders of zeros around the last 2 axes."""

    rank = 2


class ZeroPad3d(Padding):
    """Borders of zeros around the last 3 axes."""

    rank = 3


class ReflectionPad1d(Padding):
    """Borders of the mirror image, edge not repeated around the last axis."""

    rank = 1
    mode = "reflect"


class ReflectionPad2d(Padding):
    """Borders of the mirror image, edge not repeated around the last 2 axes."""

    rank = 2
    mode = "reflect"


class ReflectionPad3d(Padding):
    """Borders of the mirror image, edge not repeated around the last 3 axes."""

    rank = 3
    mode = "reflect"


class ReplicationPad1d(Padding):
    """Borders of the edge repeated around the last axis."""

    rank = 1
    mode = "replicate"


class ReplicationPad2d(Padding):
    """Borders of the edge repeated around the last 2 axes."""

    rank = 2
    mode = "replicate"


class ReplicationPad3d(Padding):
    """Borders of the edge repeated around the last 3 axes."""

    rank = 3
    mode = "replicate"


class CircularPadding(Padding):
    """What the circular ones share: the input has one or two axes before those with borders."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim - self.rank not in {1, 2}:
            wanted = f"{self.rank + 1} or {self.rank + 2} dimensions"
            raise misfit(f"CircularPad{self.rank}d takes {wanted}: input {list(input.shape)}")
        return super().forward(input)


class CircularPad1d(CircularPadding):
    """Borders of the opposite side around the last axis."""

    rank = 1


class CircularPad2d(CircularPadding):
    """Borders of the opposite side around the last 2 axes."""

    rank = 2


class CircularPad3d(CircularPadding):
    """Borders of the opposite side around the last 3 axes."""

    rank = 3
