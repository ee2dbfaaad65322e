"""Activations and running statistics in, normalised activations out."""

from __future__ import annotations

from engine.modes import no_grad
from engine.nn.functional.checks import misfit
from engine.tensor import Tensor


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
    view = (1, input.shape[1], *(1,) * (input.ndim - 2))
    axes = (0, *range(2, input.ndim))
    if training or running_mean is None or running_var is None:
        mean = input.mean(axes)
        centred = input - mean.reshape(view)
        var = (centred * centred).mean(axes)
        if training and running_mean is not None and running_var is not None:
            _follow(input, running_mean, running_var, mean, var, momentum)
    else:
        mean, var = running_mean, running_var
        centred = input - mean.reshape(view)
    scale = 1.0 / (var + eps).sqrt()
    if weight is not None:
        scale = scale * weight
    out = centred * scale.reshape(view)
    return out if bias is None else out + bias.reshape(view)


def _follow(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    mean: Tensor,
    var: Tensor,
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
        unbiased = var.detach() * count / (count - 1)
        running_mean.copy_(running_mean * (1 - momentum) + mean.detach() * momentum)
        running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
