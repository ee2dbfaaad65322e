"""Activations and running statistics in, normalised activations out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.dispatch import apply, rounded_once
from engine.modes import no_grad
from engine.nn.functional.checks import misfit
from engine.tensor import Tensor

_EPSILON = {2: 2.0**-23, 4: 2.0**-23, 8: 2.0**-52}  # of the dtype that it is computed in


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel (axis 1) with mean 0 and variance 1, then times ``weight`` plus ``bias``.

    In training the statistics are the batch's own, and the running ones move towards them by
    ``momentum``, in place (the variance without bias, as in PyTorch); else the running ones serve.
    """
    if eps <= 0:
        raise ValueError(f"batch_norm eps must be positive, but got {eps}")
    channels = input.shape[1] if input.ndim > 1 else input.shape[0] if input.ndim else 1
    _check_channels("batch_norm", channels, running_mean, running_var, weight, bias)
    if 0 in tuple(input.shape):
        return _of_nothing(input, weight, bias)
    view = (1, channels, *(1,) * (input.ndim - 2))
    axes = (0, *range(2, input.ndim))
    if training or running_mean is None or running_var is None:
        if training and running_mean is not None and running_var is not None:
            _follow(input, running_mean, running_var, axes, momentum)
        out = _standardised(input, axes, eps)
        out = out if weight is None else out * weight.reshape(view)
    else:
        scale = 1.0 / (running_var + eps).sqrt()
        scale = scale if weight is None else scale * weight
        out = (input - running_mean.reshape(view)) * scale.reshape(view)
    return out if bias is None else out + bias.reshape(view)


def _of_nothing(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """No elements are normalised to none, and running statistics stay as they are."""
    out = input.clone() if weight is None else input * weight.sum()
    return out if bias is None else out + bias.sum()


def _follow(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    axes: Sequence[int],
    momentum: float | Tensor,
) -> None:
    """Move the running statistics towards the batch's."""
    count = input.shape[0]
    for size in input.shape[2:]:
        count = count * size
    if count == 1:
        raise misfit(
            f"batch_norm in training got one value per channel: input {list(input.shape)}",
            hint="the variance of one value says nothing; use a larger batch, or model.eval()",
        )
    with no_grad():
        x = input.detach()
        mean = x.mean(axes, True)
        var = ((x - mean) * (x - mean)).mean(axes)
        unbiased = var * count / (count - 1)
        running_mean.copy_(running_mean * (1 - momentum) + mean.reshape(-1) * momentum)
        running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The last axes, of sizes ``normalized_shape``, with mean 0 and variance 1, then affine."""
    axes = _last_axes(input, normalized_shape, "layer_norm")
    out = _standardised(input, axes, eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


@rounded_once
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """The last axes divided by the root of their mean square, then times ``weight``."""
    axes = _last_axes(input, normalized_shape, "rms_norm")
    least = _EPSILON[input.dtype.itemsize] if eps is None else eps
    out = input / ((input * input).mean(axes, True) + least).sqrt()
    return out if weight is None else out * weight


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each of ``num_groups`` groups of channels of [n, c, ...] standardised, then affine."""
    if input.ndim < 2:
        raise misfit(f"group_norm takes at least two axes: input {list(input.shape)}")
    n, c = input.shape[:2]
    _check_channels("group_norm", c, weight, bias)
    if num_groups <= 0 or c % num_groups:
        raise misfit(
            f"group_norm: {c} channels are not a multiple of {num_groups} groups",
            "choose groups that divide the channels",
        )
    groups = input.reshape(n, num_groups, c // num_groups, *input.shape[2:])
    out = _standardised(groups, tuple(range(2, groups.ndim)), eps).reshape(*input.shape)
    view = (1, c, *(1,) * (input.ndim - 2))
    out = out if weight is None else out * weight.reshape(view)
    return out if bias is None else out + bias.reshape(view)


def _check_channels(name: str, channels: Any, *given: Tensor | None) -> None:
    for x in given:
        if x is not None and tuple(x.shape) != (channels,):
            raise misfit(f"{name} of {channels} channels got a vector {list(x.shape)}")


def _last_axes(input: Tensor, shape: Sequence[int], name: str) -> tuple[int, ...]:
    wanted = tuple(shape)
    if not wanted or tuple(input.shape[-len(wanted) :]) != wanted:
        raise misfit(
            f"{name}({list(wanted)}) got input {list(input.shape)}",
            "the last axes of the input must have the normalized shape",
        )
    return tuple(range(input.ndim - len(wanted), input.ndim))


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    if 0 in tuple(x.shape):
        return x * 1.0
    return apply("standardise", x, axes=axes, eps=float(eps))
