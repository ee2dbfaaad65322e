"""Two vectors and a stack of matrices in, one bilinear form for each matrix out."""

from __future__ import annotations

from engine.nn.functional.checks import misfit
from engine.products import contract
from engine.tensor import Tensor


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x1 @ weight[o] @ x2 + bias[o]``: [..., a], [..., b], [o, a, b] -> [..., o]."""
    lead = tuple(input1.shape[:-1])
    fits = input1.ndim == input2.ndim and tuple(input2.shape[:-1]) == lead
    if not fits or (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise misfit(
            f"bilinear: inputs {list(input1.shape)} and {list(input2.shape)}, "
            f"weight {list(weight.shape)}",
            "inputs differ in their last axis only; weight is [out, last of 1, last of 2]",
        )
    x1 = input1.reshape(-1, input1.shape[-1]) if lead else input1.unsqueeze(0)
    x2 = input2.reshape(-1, input2.shape[-1]) if lead else input2.unsqueeze(0)
    half = contract(x1, weight, (1,), (1,))  # [n, o, b]
    out = (half * x2.unsqueeze(1)).sum(-1, dtype=half.dtype).reshape(*lead, weight.shape[0])
    return out if bias is None else out + bias
