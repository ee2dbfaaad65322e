"""Images in, the maxima of their windows and where they lie out: pooling that tells positions."""

from __future__ import annotations

from typing import Any

from engine.nn.functional.adaptive import (
    Wanted,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from engine.nn.functional.geometry import IntOrSizes
from engine.nn.functional.pooling import max_pool1d, max_pool2d, max_pool3d
from engine.tensor import Tensor


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """``max_pool1d`` and the positions of the maxima: a pair, whatever the last argument says."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """``max_pool2d`` and the positions of the maxima: a pair, whatever the last argument says."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """``max_pool3d`` and the positions of the maxima: a pair, whatever the last argument says."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Wanted, return_indices: bool = True
) -> Any:
    """``adaptive_max_pool1d`` and the positions of the maxima, as a pair."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Wanted, return_indices: bool = True
) -> Any:
    """``adaptive_max_pool2d`` and the positions of the maxima, as a pair."""
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Wanted, return_indices: bool = True
) -> Any:
    """``adaptive_max_pool3d`` and the positions of the maxima, as a pair."""
    return adaptive_max_pool3d(input, output_size, True)
