"""Images in, each channel of each sample standardised, or divided by its neighbours, out."""

from __future__ import annotations

from engine.arithmetic import square
from engine.dispatch import apply
from engine.modes import no_grad
from engine.nn.functional.checks import misfit
from engine.nn.functional.normalization import batch_norm
from engine.tensor import Tensor
from ir.dims import product
from ir.types import is_float


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample of [n, c, ...] with mean 0 and variance 1, then affine.

    Without ``use_input_stats`` the running statistics serve; with it they follow, in place.
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise misfit("instance_norm without use_input_stats needs running statistics")
        return batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps)
    if input.ndim < 3 or product(input.shape[2:]) == 1:
        raise misfit(
            f"instance_norm got one value per channel: input {list(input.shape)}",
            "Expected more than 1 spatial element when training",
        )
    axes = tuple(range(2, input.ndim))
    mean = input.mean(axes, True)
    centred = input - mean
    var = square(centred).mean(axes, True)
    if running_mean is not None and running_var is not None:
        _follow(input, running_mean, running_var, mean, var, momentum)
    view = (1, input.shape[1], *(1,) * (input.ndim - 2))
    out = centred / (var + eps).sqrt()
    out = out if weight is None else out * weight.reshape(view)
    return out if bias is None else out + bias.reshape(view)


def _follow(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    mean: Tensor,
    var: Tensor,
    momentum: float | Tensor,
) -> None:
    """Move the running statistics towards the mean of the samples' ones."""
    count = product(input.shape[2:])
    with no_grad():
        each = input.shape[:2]
        fresh = mean.detach().reshape(*each).mean(0)
        spread = (var.detach().reshape(*each) * count / (count - 1)).mean(0)
        running_mean.copy_(running_mean * (1 - momentum) + fresh * momentum)
        running_var.copy_(running_var * (1 - momentum) + spread * momentum)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * mean(x^2 of size channels around))^beta``: [n, c, ...]."""
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim})")
    none = (0,) * input.ndim
    low, high = (0, size // 2, *none[2:]), (0, (size - 1) // 2, *none[2:])
    wide = apply("pad", square(input), low=low, high=high, interior=none, value=0.0)
    channels = int(input.shape[1])
    total = wide[:, 0:channels]
    for at in range(1, size):
        total = total + wide[:, at : at + channels]
    mean = total / size if is_float(input.dtype) else total // size  # as PyTorch's pooling
    return input / (mean * alpha + k) ** beta
