"""Parameters in, one vector of all their elements out, and back."""

from __future__ import annotations

from collections.abc import Iterable

from engine.modes import no_grad
from engine.shaping import cat
from engine.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements along one axis, in order."""
    return cat([param.reshape(-1) for param in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of ``vec`` back, in order; they are copied, where PyTorch shares them."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    at = 0
    with no_grad():
        for param in parameters:
            count = int(param.numel())
            param.detach().copy_(vec[at : at + count].reshape(*param.shape))
            at += count
