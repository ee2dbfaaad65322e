"""Activations in, some of them (single ones, or whole channels) zeroed in training out."""

from __future__ import annotations

from collections.abc import Callable

from engine.nn import functional as F
from engine.nn.functional.dropping import check_probability
from engine.nn.module import Module
from engine.tensor import Tensor


class _Dropped(Module):
    """A function of (input, p, training) with its probability kept."""

    function: Callable[..., Tensor]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(_Dropped):
    """Zeroes whole channels of [n, c, l] or [c, l]."""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropped):
    """Zeroes whole channels of [n, c, h, w]."""

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropped):
    """Zeroes whole channels of [n, c, d, h, w] or [c, d, h, w]."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropped):
    """Dropout for ``selu``: keeps mean and variance."""

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropped):
    """``AlphaDropout`` of whole channels."""

    function = staticmethod(F.feature_alpha_dropout)
