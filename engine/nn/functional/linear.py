"""Features and weights in, their sums of products out: the linear layer."""

from __future__ import annotations

from engine.nn.functional.checks import misfit
from engine.products import contract
from engine.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: [..., in] with weight [out, in], bias [out] -> [..., out].

    Raises ``EngineError`` where the width of ``input`` is not the weight's.

    >>> F.linear(torch.ones(2, 3), torch.ones(4, 3)).shape
    Size([2, 4])
    """
    if input.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        width, out = weight.shape[-1], weight.shape[0] if weight.ndim > 1 else 1
        got = input.shape[-1] if input.ndim else "a scalar without"
        raise misfit(
            f"Linear({width} -> {out}) got {got} features: input {list(input.shape)}, "
            f"weight {list(weight.shape)}",
            hint=f"the last axis must hold {width} features; reshape it, or change in_features",
        )
    out = contract(input, weight, (input.ndim - 1,), (weight.ndim - 1,))
    return out if bias is None else out + bias
