"""Images in, every channel of every sample standardised, or divided by its neighbours, out."""

from __future__ import annotations

from typing import Any

from engine.nn import functional as F
from engine.nn.functional.checks import misfit
from engine.nn.module import Module
from engine.nn.normalization import Statistics
from engine.tensor import Tensor


class _InstanceNorm(Statistics):
    """Each channel of each sample to mean 0 and variance 1, then (if ``affine``) affine.

    Without ``track_running_stats`` there is no state, and training and use are the same.
    """

    ranks: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._make(num_features, eps, momentum, affine, affine and bias, track_running_stats, dtype)

    def forward(self, input: Tensor) -> Tensor:
        rank = input.ndim
        if rank not in self.ranks:
            ranks = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ValueError(f"expected {ranks} input (got {rank}D input)")
        batch = input if rank == self.ranks[1] else input.unsqueeze(0)
        if self.affine and batch.shape[1] != self.num_features:
            raise misfit(f"{type(self).__name__}({self.num_features}) got {list(input.shape)}")
        own = self.training or not self.track_running_stats
        statistics = (self.running_mean, self.running_var)
        momentum = 0.0 if self.momentum is None else self.momentum
        out = F.instance_norm(batch, *statistics, self.weight, self.bias, own, momentum, self.eps)
        return out if batch is input else out.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """``instance_norm`` of [n, c, l] or [c, l]."""

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """``instance_norm`` of [n, c, h, w] or [c, h, w]."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """``instance_norm`` of [n, c, d, h, w] or [c, d, h, w]."""

    ranks = (4, 5)


class LocalResponseNorm(Module):
    """``F.local_response_norm`` over ``size`` neighbouring channels."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
