"""Reflections in, as LAPACK stores them (a vector under each diagonal element), products out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.arithmetic import eq, gt, where
from engine.creation import arange
from engine.dispatch import describe
from engine.linalg.checks import column, identity, matrices, same_dtype, sides
from engine.products import fail, matmul
from engine.shaping import transpose, unsqueeze

if TYPE_CHECKING:
    from engine.tensor import Tensor


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of ``H_1 H_2 ... H_k`` for A [..., m, n] and tau [..., k], k <= n <= m.

    ``H_i = 1 - tau_i v_i v_i^T``; v_i has zeros, a one in row i, then column i of A below it.
    """
    batch = matrices(A, "householder_product")[:-2]
    m, n = sides(A, "householder_product")
    same_dtype(A, tau, "householder_product")
    count = tau.shape[-1] if tau.shape else 0
    if not count <= n <= m or tau.shape[:-1] != batch or not tau.shape:
        raise fail(f"householder_product({describe(A)}, {describe(tau)}): sizes do not match")
    places, out = arange(m), identity(A, "householder_product")
    for at in reversed(range(count)):
        below = where(gt(places, at), column(A, at), 0.0)
        vector = unsqueeze(where(eq(places, at), 1.0, below), -1)
        scaled = vector * unsqueeze(tau[..., at : at + 1], -1)
        out = out - matmul(scaled, matmul(transpose(vector, -2, -1), out))
    return out
