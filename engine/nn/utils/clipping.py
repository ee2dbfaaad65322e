"""Parameters with gradients in, the same gradients limited, in place, out.

Nothing asks for a value, so that both work inside a compiled step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from engine.creation import tensor
from engine.errors import ShapeError
from engine.modes import no_grad
from engine.nn.functional.distance import p_norm
from engine.shaping import stack
from engine.tensor import Tensor


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The ``norm_type``-norm of all elements together; asking for the error reads the value."""
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not listed:
        return tensor(0.0)
    norms = [p_norm(x.detach().reshape(-1), norm_type, 0) for x in listed]
    total = p_norm(stack(norms), norm_type, 0)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise ShapeError(f"the total norm of order {norm_type} is not finite")
    return total


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together to a norm of at most ``max_norm``; the norm before it."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients by ``max_norm / total_norm`` where that makes them smaller."""
    with no_grad():
        scale = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
        for grad in _gradients(parameters):
            grad.mul_(scale.to(grad.dtype))


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    with no_grad():
        for grad in _gradients(parameters):
            grad.copy_(grad.clamp(-clip_value, clip_value))


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad.detach() for p in listed if p.grad is not None]
