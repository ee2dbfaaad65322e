"""Tensors in, tensors of the same shape out: activations, dropout, and one-hot labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.creation import rand_like, zeros_like
from engine.dispatch import apply, record
from engine.nn.functional.checks import misfit
from engine.tensor import Tensor
from ir import make


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``; ``inplace`` is taken for PyTorch's sake, the compiler decides."""
    return input.relu()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``."""
    return input.sigmoid()


def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Positive numbers that sum to 1 along ``dim``."""
    return input.softmax(_axis(input, dim, "softmax"))


def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """The logarithm of ``softmax``, without overflow."""
    return input.log_softmax(_axis(input, dim, "log_softmax"))


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability ``p`` and scale the rest by ``1 / (1 - p)``.

    The bits come from the engine's generator (``manual_seed``). Nothing happens outside training.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    kept = rand_like(input) >= p
    zero = zeros_like(input)
    return zero if p == 1.0 else apply("select", kept, input * (1.0 / (1.0 - p)), zero)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Labels [...] as int64 rows [..., num_classes] with a 1 at the label's place."""
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    shape = (*tensor.shape, num_classes)
    return class_mask(tensor, shape, tensor.ndim).long()


def class_mask(labels: Tensor, shape: Sequence[Any], axis: int) -> Tensor:
    """True in ``shape`` where the place along ``axis`` is the label's."""
    shape = tuple(shape)
    kept = tuple(a for a in range(len(shape)) if a != axis)
    places = Tensor._from_value(record(make.iota(shape, axis, labels.dtype), ()))
    return apply("eq", places, apply("broadcast", labels, shape=shape, axes=kept))


def _axis(input: Tensor, dim: int | None, name: str) -> int:
    if dim is None:
        raise misfit(f"{name} needs dim", hint="dim=-1 for the last axis")
    return dim
