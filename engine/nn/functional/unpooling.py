"""Maxima and their positions in, images with them back in place out: what undoes max pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.creation import ones_like, zeros
from engine.nn.functional.checks import misfit
from engine.nn.functional.geometry import IntOrSizes, Sizes, per_axis
from engine.nn.functional.pooling import _strides, check_image
from engine.scattering import scatter_add
from engine.tensor import Tensor


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of ``max_pool1d``: [n, c, lo] -> [n, c, l]. As ``max_unpool2d``."""
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """``input`` at ``indices`` of a zero image: [n, c, ho, wo] -> [n, c, h, w].

    ``indices`` are those of ``max_pool2d``. Where several values name one place it holds their
    mean (PyTorch keeps one of them, not saying which); pooling gives such values equal.
    """
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of ``max_pool3d``: [n, c, do, ho, wo] -> [n, c, d, h, w]."""
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 3)


def _unpool(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None,
    padding: IntOrSizes,
    output_size: Sequence[int] | None,
    rank: int,
) -> Tensor:
    check_image(input, f"max_unpool{rank}d", rank)
    if tuple(indices.shape) != tuple(input.shape):
        raise misfit(f"indices {list(indices.shape)} and input {list(input.shape)} differ in shape")
    kernel, steps = _strides(kernel_size, stride, rank)
    edge = per_axis(padding, rank, "padding")
    sizes = _sizes(input, kernel, steps, edge, output_size)
    lead = tuple(input.shape)[: input.ndim - rank]
    where = indices.reshape(*lead, -1)
    empty = zeros(*lead, int(np.prod(sizes)), dtype=input.dtype)
    axis = len(lead)
    placed = scatter_add(empty, axis, where, input.reshape(*lead, -1))
    times = scatter_add(empty, axis, where, ones_like(where, dtype=input.dtype)).clamp(min=1)
    excess = (placed - placed / times).detach()  # of no weight in the gradient, as in PyTorch
    return (placed - excess).reshape(*lead, *sizes)


def _sizes(
    input: Tensor, kernel: Sizes, steps: Sizes, edge: Sizes, output_size: Sequence[int] | None
) -> Sizes:
    """The sizes of the image: those given, if a stride less or more than what pooling tells."""
    rank = len(kernel)
    own = [int(size) for size in input.shape[-rank:]]
    told = zip(own, kernel, steps, edge, strict=True)
    usual = tuple((n - 1) * s + k - 2 * e for n, k, s, e in told)
    if output_size is None:
        return usual
    wanted = tuple(int(size) for size in output_size)
    if len(wanted) == rank + 2:
        wanted = wanted[2:]
    if len(wanted) != rank:
        raise misfit(f"output_size must hold {rank} or {rank + 2} sizes, not {list(output_size)}")
    for size, default, step in zip(wanted, usual, steps, strict=True):
        if not default - step < size < default + step:
            raise misfit(f"output_size {list(wanted)} is not within a stride of {list(usual)}")
    return wanted
