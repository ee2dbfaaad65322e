"""Tensors and what goes where in, the same tensors with new contents out: ``scatter_``, ``tril_``.

Each is the function without the underscore, and one assignment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from engine import indexing, masks, products, scattering, triangles
from engine.inplace import write

if TYPE_CHECKING:
    from engine.tensor import Tensor


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(function)
    def overwrite(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        x._check_write()
        return write(x, function(x, *args, **kwargs))

    overwrite.__name__ = f"{function.__name__}_"
    overwrite.__doc__ = f"``x = {function.__name__}(x, ...)``, in place."
    return overwrite


addbmm_ = _in_place(products.addbmm)
addmm_ = _in_place(products.addmm)
addmv_ = _in_place(products.addmv)
addr_ = _in_place(products.addr)
baddbmm_ = _in_place(products.baddbmm)
index_add_ = _in_place(scattering.index_add)
index_copy_ = _in_place(scattering.index_copy)
index_fill_ = _in_place(scattering.index_fill)
index_put_ = _in_place(indexing.index_put)
index_reduce_ = _in_place(scattering.index_reduce)
masked_scatter_ = _in_place(masks.masked_scatter)
put_ = _in_place(scattering.put)
scatter_ = _in_place(scattering.scatter)
scatter_add_ = _in_place(scattering.scatter_add)
scatter_reduce_ = _in_place(scattering.scatter_reduce)
tril_ = _in_place(triangles.tril)
triu_ = _in_place(triangles.triu)
