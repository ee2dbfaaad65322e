"""Activations in, normalised activations out, and running statistics kept on the way."""

from __future__ import annotations

from typing import Any

from engine.creation import ones, tensor, zeros
from engine.dtypes import int64
from engine.modes import no_grad
from engine.nn import functional as F, init
from engine.nn.functional.checks import misfit
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.tensor import Tensor


class Statistics(Module):
    """Weight and bias for each channel, and running statistics, or neither."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def _make(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        bias: bool,
        tracked: bool,
        dtype: Any,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, tracked
        n = num_features
        self.register_parameter("weight", Parameter(ones(n, dtype=dtype)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(n, dtype=dtype)) if bias else None)
        self.register_buffer("running_mean", zeros(n, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ones(n, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=int64) if tracked else None)

    def reset_running_stats(self) -> None:
        """Forget what the batches have shown."""
        for buffer, value in (
            (self.running_mean, 0.0),
            (self.running_var, 1.0),
            (self.num_batches_tracked, 0),
        ):
            if buffer is not None:
                init.constant_(buffer, value)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, running statistics forgotten."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(Statistics):
    """Each channel (axis 1) to mean 0 and variance 1, then times weight plus bias.

    In training by the batch's statistics, which the running ones follow by ``momentum`` (None: a
    plain average over all batches); in use by the running ones.
    """

    ranks: tuple[int, ...] = ()
    rest = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        options = (affine, affine and bias, track_running_stats, dtype)
        self._make(num_features, eps, momentum, *options)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.ranks or input.shape[1] != self.num_features:
            raise misfit(
                f"{type(self).__name__}({self.num_features}) got input {list(input.shape)}",
                f"it takes [n, {self.num_features}{self.rest}]",
            )
        statistics = (self.running_mean, self.running_var)
        own = self.training or self.running_mean is None
        momentum = self._momentum()
        return F.batch_norm(input, *statistics, self.weight, self.bias, own, momentum, self.eps)

    def _momentum(self) -> float | Tensor:
        """Count this batch, and say how far the running statistics follow it."""
        if not self.training or self.num_batches_tracked is None:
            return 0.0
        with no_grad():
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1.0 / self.num_batches_tracked.float()
        return self.momentum


class BatchNorm1d(_BatchNorm):
    """``batch_norm`` of [n, c] or [n, c, l], with running statistics."""

    ranks, rest = (2, 3), " (, l)"


class BatchNorm2d(_BatchNorm):
    """``batch_norm`` of [n, c, h, w], with running statistics."""

    ranks, rest = (4,), ", h, w"


class BatchNorm3d(_BatchNorm):
    """``batch_norm`` of [n, c, d, h, w], with running statistics."""

    ranks, rest = (5,), ", d, h, w"
