"""A function on matrices in, the same without what it leaves open out.

Vectors of a factorisation have either sign, and those that fill up a square matrix are any basis.
Of a matrix that stands for its one half, PyTorch's gradient of the other half is arbitrary. Its
own tests compare absolute values and make such matrices symmetric or triangular, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from cases import ties

OUT: dict[str, Callable[..., Any]] = {
    "linalg.eigh": lambda values, vectors: (values, vectors.abs()),
    "linalg.svd": lambda u, s, vh: (
        u[..., : s.shape[-1]].abs(),
        s,
        vh[..., : s.shape[-1], :].abs(),
    ),
    "svd": lambda u, s, v: (u[..., : s.shape[-1]].abs(), s, v[..., : s.shape[-1]].abs()),
}


def _half(L: Any, upper: bool) -> Any:
    return L.triu() if upper else L.tril()


IN: dict[str, Callable[..., Any]] = {
    **ties.IN,
    "linalg.pinv.hermitian": lambda call, a, **kw: call(a + a.mT, **kw),
    "cholesky_inverse": lambda call, L, upper=False: call(_half(L, upper), upper),
    "cholesky_solve": lambda call, b, L, upper=False: call(b, _half(L, upper), upper),
}


def fixed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, where ``name`` leaves something open only what is the same everywhere."""
    if name in IN:
        return functools.partial(IN[name], call)
    if name not in OUT:
        return call

    @functools.wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        return OUT[name](*call(*args, **kwargs))

    return run
