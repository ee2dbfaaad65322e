"""A function of float64 in, one of any dtype that is evaluated in float64 and rounded once out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING

from engine.dispatch import cast
from engine.specials import floating
from ir.types import F64

if TYPE_CHECKING:
    from engine.tensor import Tensor

Function = Callable[["Tensor"], "Tensor"]


def in_double(function: Function) -> Function:
    """``function`` of any dtype; integers become float32."""

    @wraps(function)
    def run(input: Tensor) -> Tensor:
        x = floating(input)
        return cast(function(cast(x, F64)), x.value.type.dtype)

    return run


def polynomial(x: Tensor, factors: Sequence[float]) -> Tensor:
    """The highest power first."""
    out = x * factors[0] + factors[1]
    for factor in factors[2:]:
        out = out * x + factor
    return out
