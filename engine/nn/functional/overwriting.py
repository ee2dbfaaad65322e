"""A tensor in, the same tensor with its activation written over it out: the names with ``_``."""

from __future__ import annotations

from engine.nn.functional.activation import relu
from engine.nn.functional.nonlinear import (
    celu,
    elu,
    hardtanh,
    leaky_relu,
    rrelu,
    selu,
    threshold,
)
from engine.tensor import Tensor


def relu_(input: Tensor) -> Tensor:
    """``relu`` in place."""
    return input.copy_(relu(input))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``elu`` in place."""
    return input.copy_(elu(input, alpha))


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``celu`` in place."""
    return input.copy_(celu(input, alpha))


def selu_(input: Tensor) -> Tensor:
    """``selu`` in place."""
    return input.copy_(selu(input))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``leaky_relu`` in place."""
    return input.copy_(leaky_relu(input, negative_slope))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``hardtanh`` in place."""
    return input.copy_(hardtanh(input, min_val, max_val))


def threshold_(input: Tensor, threshold_: float, value: float) -> Tensor:
    """``threshold`` in place."""
    return input.copy_(threshold(input, threshold_, value))


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """``rrelu`` in place."""
    return input.copy_(rrelu(input, lower, upper, training))
