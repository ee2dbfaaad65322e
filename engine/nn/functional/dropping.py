"""Activations in, some of them (single ones, or whole channels) zeroed in training out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from engine.arithmetic import where
from engine.creation import zeros_like
from engine.nn.functional.checks import misfit
from engine.sampling import rand
from engine.tensor import Tensor

_SELU_FLOOR = -1.7580993408473766  # what selu tends to far below 0


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of [n, c, l] or [c, l]; the rest is scaled by ``1 / (1 - p)``."""
    return _by_channel("dropout1d", input, p, training, (2, 3))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of [n, c, h, w]; three axes are [n, c, l], as in PyTorch."""
    return _channels_dropped(input, p, training)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of [n, c, d, h, w] or [c, d, h, w]."""
    return _by_channel("dropout3d", input, p, training, (4, 5))


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for ``selu``: dropped elements get its lower limit; mean and variance are kept."""
    return _alpha(input, p, training, lambda x: tuple(x.shape))


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels (the first two axes)."""
    return _alpha(input, p, training, _channel_shape)


def check_probability(p: float) -> None:
    """ValueError for what is no probability."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _by_channel(
    name: str, input: Tensor, p: float, training: bool, ranks: tuple[int, int]
) -> Tensor:
    check_probability(p)
    if input.ndim not in ranks:
        raise misfit(f"{name} takes {ranks[0]} or {ranks[1]} axes: input {list(input.shape)}")
    if input.ndim == ranks[1]:
        return _channels_dropped(input, p, training)
    return _channels_dropped(input.unsqueeze(0), p, training).squeeze(0)


def _channels_dropped(input: Tensor, p: float, training: bool) -> Tensor:
    check_probability(p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return zeros_like(input)
    kept = rand(_channel_shape(input), dtype=input.dtype) >= p
    return where(kept, input * (1.0 / (1.0 - p)), 0.0)


def _channel_shape(input: Tensor) -> Sequence[Any]:
    if input.ndim < 2:
        raise misfit(f"feature dropout takes at least two axes: input {list(input.shape)}")
    return (*input.shape[:2], *(1,) * (input.ndim - 2))


def _alpha(
    input: Tensor, p: float, training: bool, shape_of: Callable[[Tensor], Sequence[Any]]
) -> Tensor:
    check_probability(p)
    if not training or p == 0.0:
        return input
    shape = shape_of(input)
    if p == 1.0:
        return zeros_like(input)
    scale = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _SELU_FLOOR**2))
    kept = rand(shape, dtype=input.dtype) >= p
    return where(kept, input, _SELU_FLOOR) * scale - _SELU_FLOOR * p * scale
