"""A parameter in, the same parameter with new values out: PyTorch's initialisations.

Every function writes in place, without a gradient, and returns its tensor. Random numbers come
from the engine's generator, so ``manual_seed`` decides them.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from engine.creation import eye, zeros
from engine.gamma import erfinv
from engine.linalg import qr
from engine.modes import no_grad
from engine.random import Generator
from engine.sampling import rand, randn
from engine.tensor import Tensor

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Values drawn evenly between ``a`` and ``b``."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Values drawn from a normal distribution."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Values drawn from the part of a normal distribution between ``a`` and ``b``."""
    low, high = (math.erf((end - mean) / (std * math.sqrt(2.0))) for end in (a, b))
    with no_grad():
        drawn = erfinv(rand(*tensor.shape, generator=generator) * (high - low) + low)
        tensor.copy_((drawn * (std * math.sqrt(2.0)) + mean).clamp(a, b))
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """A matrix with 1 on its diagonal, 0 beside it."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = (int(size) for size in tensor.shape)
    with no_grad():
        return tensor.copy_(eye(rows, columns, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Weights [o, i, ...] of a convolution that hands its channels on, as many as there are."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out, inner, *kernel = (int(size) for size in tensor.shape)
    if out % groups:
        raise ValueError("dim 0 must be divisible by groups")
    centre = tuple(size // 2 for size in kernel)
    made = zeros(out, inner, *kernel, dtype=tensor.dtype)
    with no_grad():
        for group in range(groups):
            for at in range(min(out // groups, inner)):
                made[(group * (out // groups) + at, at, *centre)] = 1.0
        return tensor.copy_(made)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Rows (or columns, if they are fewer) of length ``gain``, at right angles to one another.

    Axes after the first count as one (Saxe et al., 2014).
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = int(tensor.shape[0])
    columns = int(tensor.numel()) // rows
    with no_grad():
        drawn = randn(max(rows, columns), min(rows, columns), generator=generator)
        q, r = qr(drawn)
        q = q * r.diagonal().sign()  # makes the distribution uniform
        q = q.T if rows < columns else q
        return tensor.copy_((q * gain).reshape(*tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """A matrix of normal values, in each column a share ``sparsity`` of zeros (Martens, 2010)."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    dropped = math.ceil(sparsity * int(tensor.shape[0]))
    with no_grad():
        normal_(tensor, 0.0, std, generator)
        order = rand(*tensor.shape, generator=generator).argsort(0).argsort(0)
        return tensor.masked_fill_(order < dropped, 0.0)


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The factor that keeps the variance through ``nonlinearity``.

    Raises ValueError for one that has no recommended gain.
    """
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, int | float | None):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform with variance ``2 gain^2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""
    fan_in, fan_out = fans(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance ``2 gain^2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""
    fan_in, fan_out = fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance ``gain^2 / fan`` (He et al., 2015); ``a`` is leaky_relu's slope."""
    if 0 in tuple(tensor.shape):
        return _nothing(tensor)
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with variance ``gain^2 / fan`` (He et al., 2015); ``a`` is leaky_relu's slope."""
    if 0 in tuple(tensor.shape):
        return _nothing(tensor)
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many values feed one output, and how many outputs one value feeds.

    Raises ValueError for a tensor of fewer than two axes, which says neither.
    """
    if tensor.ndim < 2:
        raise ValueError("fan in and fan out need a tensor of at least 2 dimensions")
    field = math.prod(int(size) for size in tensor.shape[2:])
    return int(tensor.shape[1]) * field, int(tensor.shape[0]) * field


def _nothing(tensor: Tensor) -> Tensor:
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return tensor


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
