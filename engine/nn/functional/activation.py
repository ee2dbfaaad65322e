"""Tensors in, tensors of the same shape out: activations, dropout, and one-hot labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from engine.creation import zeros_like
from engine.dispatch import apply, record
from engine.sampling import rand_like
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


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Positive numbers that sum to 1 along ``dim``; ``dtype`` casts the input first.

    Without ``dim``, PyTorch's old choice (axis 1, or 0 of 0, 1 or 3 axes), with a warning.
    """
    return input.softmax(_axis(input, dim, "softmax", _stacklevel), dtype=dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """The logarithm of ``softmax``, without overflow."""
    return input.log_softmax(_axis(input, dim, "log_softmax", _stacklevel), dtype=dtype)


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


def _axis(input: Tensor, dim: int | None, name: str, level: int) -> int:
    if dim is not None:
        return dim
    text = f"Implicit dimension choice for {name} has been deprecated: pass dim=X"
    warnings.warn(text, stacklevel=level)
    return 0 if input.ndim in (0, 1, 3) else 1
