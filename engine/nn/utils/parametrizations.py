"""A layer in, the same layer with a weight of limited norm or with orthonormal rows out."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.creation import eye, from_numpy, zeros_like
from engine.dtypes import float64
from engine.linalg.factoring import qr
from engine.linalg.powers import matrix_exp
from engine.linalg.reflections import householder_product
from engine.linalg.solving import solve
from engine.modes import no_grad
from engine.nn.functional.distance import normalize
from engine.nn.module import Module
from engine.nn.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from engine.nn.utils.parametrize import register_parametrization
from engine.predicates import allclose
from engine.products import dot, mv
from engine.sampling import randn
from engine.shaping import cat
from engine.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def norm_except(x: Tensor, dim: int) -> Tensor:
    """The 2-norm over all axes but ``dim``, which stay as axes of size 1; -1: over all."""
    if dim == -1:
        return x.norm()
    return x.norm(2, tuple(axis for axis in range(x.ndim) if axis != dim % x.ndim), keepdim=True)


def rows_first(weight: Tensor, dim: int) -> Tensor:
    """A matrix: axis ``dim`` first, all others as one."""
    if dim:
        weight = weight.permute(dim, *(axis for axis in range(weight.ndim) if axis != dim))
    return weight.flatten(1)


def output_axis(module: Module) -> int:
    """The axis of a layer's weight that counts its outputs."""
    return int(isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d))


class _WeightNorm(Module):
    """``weight_v`` scaled to the norms ``weight_g``."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train a weight's norm and its direction apart: ``g * v / ||v||``; the module.

    The norm is over all axes but ``dim``, or over all (None). ``g`` and ``v`` are
    ``parametrizations.weight.original0`` and ``original1``; states with the older names
    ``weight_g`` and ``weight_v`` load too.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(_: Module, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for at, key in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{at}"
                state_dict[new] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """A weight over its largest singular value, which power iteration follows in training."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        rank = weight.ndim
        if not -rank <= dim < rank:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[-{rank}, {rank - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but "
                f"got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps = dim % rank, eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            matrix = rows_first(weight.detach(), self.dim)
            for key, size in zip(("_u", "_v"), matrix.shape, strict=True):
                start = randn(size, dtype=weight.dtype)
                self.register_buffer(key, normalize(start, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u.copy_(normalize(mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(mv(matrix.mT, self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = rows_first(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / dot(u, mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value; the module.

    The weight counts as a matrix with axis ``dim`` first (None: that of the outputs). Every access
    in training makes ``n_power_iterations`` steps of power iteration, kept in the buffers ``_u``
    and ``_v``, inside a jitted step too.
    """
    weight = _tensor_of(module, name)
    axis = output_axis(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, axis, eps)
    return register_parametrization(module, name, made)


def _tensor_of(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


_MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    """A matrix with orthonormal columns (or rows, where it is wide) of any matrix."""

    base: Tensor | None

    def __init__(
        self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True
    ) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = tuple(weight.shape), orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        wide = self.shape[-2] < self.shape[-1]
        X = X.mT if wide else X
        if self.orthogonal_map == "householder":
            A = X.tril(diagonal=-1)
            tau = 2.0 / (1.0 + (A * A).sum(dim=-2))
            Q = householder_product(A, tau)
            Q = Q * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        else:
            Q = self._from_skew(X)
        if hasattr(self, "base") and self.base is not None:
            Q = self.base @ Q
        return Q.mT if wide else Q

    def _from_skew(self, X: Tensor) -> Tensor:
        """The exponential, or Cayley's map, of the skew part of the lower triangle."""
        n, k = X.shape[-2:]
        X = X.tril()
        if n != k:
            X = cat([X, X.new_zeros((*X.shape[:-1], n - k))], dim=-1)
        A = X - X.mT
        if self.orthogonal_map == "matrix_exp":
            Q = matrix_exp(A)
        else:
            one = eye(n, dtype=A.dtype).expand(*A.shape)
            Q = solve(one - A * 0.5, one + A * 0.5)
        return Q[..., :k]

    def right_inverse(self, Q: Tensor) -> Tensor:
        if tuple(Q.shape) != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {list(self.shape)}. "
                f"Got a tensor of shape {list(Q.shape)}."
            )
        wide = self.shape[-2] < self.shape[-1]
        with no_grad():
            tall = (Q.mT if wide else Q).detach()
            if not hasattr(self, "base"):
                if self.orthogonal_map != "householder":
                    raise NotImplementedError(
                        "It is not possible to assign to the matrix exponential "
                        "or the Cayley parametrizations when use_trivialization=False."
                    )
                A = _reflectors(tall)
                return A.mT if wide else A
            n, k = tall.shape[-2:]
            if n != k:
                more = randn(*tall.shape[:-2], n, n - k, dtype=tall.dtype)
                self.base = _orthonormal(cat([tall, more], dim=-1))
            else:
                self.base = tall.clone() if _is_orthogonal(tall) else _orthonormal(tall)
            one = eye(self.shape[-2], self.shape[-1], dtype=Q.dtype)
            return zeros_like(Q) - one


def _is_orthogonal(Q: Tensor) -> bool:
    n, k = Q.shape[-2:]
    near = 10.0 * n * (2.0**-52 if Q.dtype == float64 else 2.0**-23)
    one = eye(k, dtype=Q.dtype).expand(*Q.shape[:-2], k, k)
    return bool(allclose(Q.mT @ Q, one, atol=near))


def _orthonormal(A: Tensor) -> Tensor:
    """The factor Q of A = QR for a diagonal of R that is not negative."""
    Q, R = qr(A)
    return Q * R.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _reflectors(Q: Tensor) -> Tensor:
    """LAPACK's reflections whose product is Q, signs on the diagonal; known values only."""
    raw, tau = np.linalg.qr(Q.cpu().numpy(), mode="raw")
    A = np.swapaxes(raw, -1, -2).copy()
    k = A.shape[-1]
    signs = np.sign(A[..., range(k), range(k)])
    A[..., range(k), range(k)] = np.where(tau == 0, -signs, signs)
    return from_numpy(A.astype(Q.dtype))


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix [..., m, n] orthogonal while it is trained; the module.

    Columns are orthonormal where m >= n, otherwise rows. ``orthogonal_map``: "matrix_exp" (square
    ones unless told), "cayley" or "householder". With ``use_trivialization`` a fixed orthogonal
    matrix, the buffer ``base``, is multiplied from the left, and the training begins there.
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
