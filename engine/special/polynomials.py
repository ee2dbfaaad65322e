"""Tensors and degrees in, values of orthogonal polynomials out, by their recurrences.

Each takes ``(x, n)``, evaluates in float64 and rounds once; it is 0 for n < 0. The degree is a
number, or a tensor whose values are known; inside ``jit`` it is a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.arithmetic import where
from engine.dispatch import cast
from engine.dtypes import float32
from engine.errors import Unsupported, message
from engine.locate import user_location
from engine.specials import floats
from engine.state import TensorState
from ir.types import F64, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

_HIGHEST = 20_000
Next = Callable[[int, Any, Any, Any], Any]  # (k, x, P_k, P_(k-1)) -> P_(k+1)


def _polynomial(name: str, text: str, first: Callable[[Any], Any], following: Next) -> Any:
    def run(x: Any, n: Any) -> Tensor:
        return _evaluate(x, n, first, following)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"{text} of degree ``n`` at ``x``; ``n`` is known when a step is traced."
    return run


def _evaluate(x: Any, n: Any, first: Callable[[Any], Any], following: Next) -> Tensor:
    if isinstance(n, TensorState):
        return _of_degrees(x, n, first, following)
    dtype = x.value.type.dtype
    dtype = dtype if is_float(dtype) else float32
    wide = cast(x, F64)
    degree = _limited(int(n))
    if degree < 0:
        return cast(wide * 0.0, dtype)
    now = wide * 0.0 + 1.0
    if degree:
        last, now = now, first(wide)
        for k in range(1, degree):
            last, now = now, following(k, wide, now, last)
    return cast(now, dtype)


def _limited(degree: int) -> int:
    """The degree; an error where the recurrence would take minutes."""
    if degree > _HIGHEST:
        text = f"a polynomial of degree {degree}: the highest degree here is {_HIGHEST}"
        raise Unsupported(message(user_location(), text))
    return degree


def _of_degrees(x: Any, n: Any, first: Callable[[Any], Any], following: Next) -> Tensor:
    """Every degree up to the largest, each where it is asked for."""
    known = [int(v) for v in n._concrete("the degree").ravel().tolist() if abs(v) < 2.0**63]
    highest = _limited(max(known, default=0))
    wide, degrees = floats(x, n)
    dtype = wide.value.type.dtype
    wide, degrees = cast(wide, F64), cast(degrees, F64).trunc()
    last, now = wide * 0.0, wide * 0.0 + 1.0
    out = where(degrees == 0, now, 0.0)
    for k in range(highest):
        last, now = now, following(k, wide, now, last) if k else first(wide)
        out = where(degrees == k + 1, now, out)
    return cast(out, dtype)


def _double(k: int, x: Any, now: Any, last: Any) -> Any:
    return x * 2.0 * now - last


def _double_shifted(k: int, x: Any, now: Any, last: Any) -> Any:
    return (x * 4.0 - 2.0) * now - last


chebyshev_polynomial_t = _polynomial(
    "chebyshev_polynomial_t", "Chebyshev's polynomial T", lambda x: x, _double
)
chebyshev_polynomial_u = _polynomial(
    "chebyshev_polynomial_u", "Chebyshev's polynomial U", lambda x: x * 2.0, _double
)
chebyshev_polynomial_v = _polynomial(
    "chebyshev_polynomial_v", "Chebyshev's polynomial V", lambda x: x * 2.0 - 1.0, _double
)
chebyshev_polynomial_w = _polynomial(
    "chebyshev_polynomial_w", "Chebyshev's polynomial W", lambda x: x * 2.0 + 1.0, _double
)
shifted_chebyshev_polynomial_t = _polynomial(
    "shifted_chebyshev_polynomial_t",
    "Chebyshev's polynomial T of 2x - 1",
    lambda x: x * 2.0 - 1.0,
    _double_shifted,
)
shifted_chebyshev_polynomial_u = _polynomial(
    "shifted_chebyshev_polynomial_u",
    "Chebyshev's polynomial U of 2x - 1",
    lambda x: x * 4.0 - 2.0,
    _double_shifted,
)
shifted_chebyshev_polynomial_v = _polynomial(
    "shifted_chebyshev_polynomial_v",
    "Chebyshev's polynomial V of 2x - 1",
    lambda x: x * 4.0 - 3.0,
    _double_shifted,
)
shifted_chebyshev_polynomial_w = _polynomial(
    "shifted_chebyshev_polynomial_w",
    "Chebyshev's polynomial W of 2x - 1",
    lambda x: x * 4.0 - 1.0,
    _double_shifted,
)
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h",
    "Hermite's polynomial H (of physics)",
    lambda x: x * 2.0,
    lambda k, x, now, last: x * 2.0 * now - 2.0 * k * last,
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he",
    "Hermite's polynomial He (of probability)",
    lambda x: x,
    lambda k, x, now, last: x * now - float(k) * last,
)
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l",
    "Laguerre's polynomial L",
    lambda x: 1.0 - x,
    lambda k, x, now, last: ((2.0 * k + 1.0 - x) * now - float(k) * last) / (k + 1.0),
)
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p",
    "Legendre's polynomial P",
    lambda x: x,
    lambda k, x, now, last: ((2.0 * k + 1.0) * x * now - float(k) * last) / (k + 1.0),
)
