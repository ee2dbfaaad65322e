"""Tensors in, tensors of the same shape out: the activations beyond relu, tanh and sigmoid.

A branch that would overflow is given a harmless operand before it is computed, so that neither it
nor its gradient makes NaN of the branch that is taken.
"""

from __future__ import annotations

import math
from typing import Any

from engine.arithmetic import exp, expm1, log, log1p, minimum, where
from engine.creation import tensor, zeros_like
from engine.dispatch import apply, axis_of
from engine.nn.functional.activation import class_mask, softmax
from engine.nn.functional.checks import misfit
from engine.sampling import rand_like
from engine.tensor import Tensor
from ir.types import is_float

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""
    positive = input > 0
    return where(positive, input, expm1(where(positive, 0.0, input)) * alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``elu`` scaled so that activations keep mean 0 and variance 1."""
    return elu(input, _SELU_ALPHA) * _SELU_SCALE


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below."""
    positive = input > 0
    return where(positive, input, expm1(where(positive, 0.0, input) / alpha) * alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below."""
    return where(input > 0, input, input * negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``leaky_relu`` with a learned slope: one, or one for each channel (axis 1)."""
    if weight.numel() != 1:
        if input.ndim < 2 or input.shape[1] != weight.shape[0]:
            raise misfit(
                f"prelu: {weight.shape[0]} slopes for input {list(input.shape)}",
                "one slope, or one for each size of axis 1",
            )
        weight = weight.reshape(-1, *(1,) * (input.ndim - 2))
    else:
        weight = weight.reshape(())
    return where(input > 0, input, input * weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """``leaky_relu``, in training with slopes drawn between ``lower`` and ``upper``."""
    if lower > upper:
        raise misfit(f"rrelu: lower {lower} is above upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    return where(input > 0, input, input * (rand_like(input) * (upper - lower) + lower))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``x`` limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``x`` limited to [min_val, max_val]; no gradient at the ends."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype.kind in "iu":
        min_val, max_val = int(min_val), int(max_val)
    if input.dtype.kind == "b" or (input.dtype.kind == "u" and min_val < 0):
        raise misfit(f"hardtanh between {min_val} and {max_val} of {input.dtype}")
    return where(input <= min_val, min_val, where(input >= max_val, max_val, input))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``x / 6 + 1 / 2`` limited to [0, 1]."""
    return where(input <= -3, 0.0, where(input >= 3, 1.0, input / 6 + 0.5))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * hardsigmoid(x)``."""
    return where(input <= -3, 0.0, where(input >= 3, input, input * ((input + 3) / 6)))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` outside [-lambd, lambd], 0 inside."""
    return where((input >= -lambd) & (input <= lambd), 0.0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``; 0 where that would pass it."""
    if lambd < 0:
        raise misfit(f"lambda must be greater or equal to 0, but found to be {lambd}")
    inside = zeros_like(input) * input  # 0, NaN where the input is NaN
    return where(input > lambd, input - lambd, where(input < -lambd, input + lambd, inside))


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` above ``threshold``, else ``value``."""
    if input.dtype.kind in "iu":  # numbers of the input's own range, as PyTorch's
        low, other = (tensor(int(x)).to(input.dtype) for x in (threshold, value))
        return where(input <= low, other, input)
    return where(input <= threshold, value, input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``; ``x`` itself where ``beta * x > threshold``."""
    steep = input * beta
    linear = steep > threshold
    return where(linear, input, log1p(exp(where(linear, 0.0, steep))) / beta)


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))`` without overflow."""
    return minimum(input, zeros_like(input)) - log1p(exp(-input.abs()))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution's mass below ``x``, exact or through ``'tanh'``."""
    if approximate == "none":
        return apply("gelu", input if is_float(input.dtype) else input * 1.0)
    if approximate != "tanh":
        raise misfit(f"approximate must be 'none' or 'tanh', not {approximate!r}")
    inner = (input + input * input * input * 0.044715) * math.sqrt(2.0 / math.pi)
    return input * (inner.tanh() + 1.0) * 0.5


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``."""
    return input * input.sigmoid()


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return input * softplus(input).tanh()


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return input / (input.abs() + 1.0)


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return input - input.tanh()


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of ``dim`` times the sigmoid of the second: size 2n -> n."""
    axis = axis_of(dim, input.ndim)
    size = input.shape[axis] if input.ndim else 1
    if size % 2:
        raise misfit(f"glu: the size of axis {axis} must be even: input {list(input.shape)}")
    lead = (slice(None),) * axis
    return input[(*lead, slice(0, size // 2))] * input[(*lead, slice(size // 2, size))].sigmoid()


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``softmax(-x)``; ``dtype`` is that of the result."""
    return softmax(-input, dim, _stacklevel, dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A differentiable draw from the categories of ``dim``; ``hard`` makes it one-hot."""
    noise = -log(-log(rand_like(logits) * (1 - 2e-7) + 1e-7))
    soft: Tensor = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    axis = axis_of(dim, logits.ndim)
    picked = class_mask(soft.detach().argmax(axis), soft.shape, axis).to(soft.dtype)
    return picked - soft.detach() + soft
