"""Two tensors of one type in, whole quotients, remainders and powers of the same type out.

The table divides floats alone. An integer quotient is a float64 one put right in integers, so it
is exact for every int64; a float quotient comes from ``fmod``, which is exact by itself. Whole
quotients have a gradient of zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.dispatch import apply, cast, scalar
from engine.errors import EngineError, message
from engine.locate import user_location
from engine.modes import modes
from ir.types import F64, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor


def filled(like: Tensor, value: Any) -> Tensor:
    """``value`` in the type of ``like``."""
    kind = like.value.type
    return scalar(like, value, kind.dtype, kind.shape)


def flat_in(out: Tensor, *sources: Tensor) -> Tensor:
    """``out`` with a gradient of zero to the ``sources`` that want one."""
    wanted = [source for source in sources if modes.grad and source.requires_grad]
    if wanted:
        zero = filled(out.detach(), 0)
        never = apply("ne", zero, zero)
        for source in wanted:
            out = apply("select", never, source, out)
    return out


def _quotient_and_rest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The floor quotient of integers, and what it leaves, of the sign of ``b``."""
    if modes.trace is None and bool((b == 0).any()):
        raise EngineError(message(user_location(), "ZeroDivisionError: integers divided by 0"))
    whole, rest = filled(a, 0), a
    for _ in range(2 if a.value.type.dtype.itemsize == 8 else 1):
        guess = apply("floor", apply("div", cast(rest, F64), cast(b, F64)))
        whole = apply("add", whole, cast(_within(guess), a.value.type.dtype))
        rest = apply("sub", a, apply("mul", whole, b))
    zero, one = filled(a, 0), filled(a, 1)
    below = apply("lt", b, zero)
    over = apply("select", below, apply("le", rest, b), apply("ge", rest, b))
    whole = apply("select", over, apply("add", whole, one), whole)
    rest = apply("select", over, apply("sub", rest, b), rest)
    turned = apply("and", apply("ne", rest, zero), apply("ne", apply("lt", rest, zero), below))
    whole = apply("select", turned, apply("sub", whole, one), whole)
    return whole, apply("select", turned, apply("add", rest, b), rest)


def _within(guess: Tensor) -> Tensor:
    """Limited to what int64 can hold: the second guess makes up for it."""
    most = filled(guess, 2.0**63 - 1024)
    return apply("minimum", apply("maximum", guess, filled(guess, -(2.0**63))), most)


def floor_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``floor(a / b)`` of the exact quotient."""
    if not is_float(a.value.type.dtype):
        return _quotient_and_rest(a, b)[0]
    p, q = a.detach(), b.detach()
    ratio = apply("div", p, q)
    whole = apply("div", apply("sub", p, modulus(p, q)), q)
    near = apply("floor", apply("add", whole, filled(whole, 0.5)))
    zero = filled(q, 0)
    plain = apply("ne", apply("sub", ratio, ratio), zero)  # infinite or NaN
    signed = apply("select", apply("eq", near, zero), apply("mul", ratio, zero), near)
    return flat_in(apply("select", plain, ratio, signed), a, b)


def trunc_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``a / b`` cut to its whole part."""
    if is_float(a.value.type.dtype):
        ratio = apply("div", a.detach(), b.detach())
        down, up = apply("floor", ratio), apply("ceil", ratio)
        cut = apply("select", apply("lt", ratio, filled(ratio, 0)), up, down)
        return flat_in(cut, a, b)
    whole, rest = _quotient_and_rest(a, b)
    zero = filled(a, 0)
    below = apply("and", apply("lt", whole, zero), apply("ne", rest, zero))
    return apply("select", below, apply("add", whole, filled(a, 1)), whole)


def modulus(a: Tensor, b: Tensor) -> Tensor:
    """``a - b * floor(a / b)``: the sign is that of ``b``, as in Python."""
    if not is_float(a.value.type.dtype):
        return _quotient_and_rest(a, b)[1]
    rest, zero = apply("fmod", a, b), filled(a, 0)
    sides = apply("ne", apply("lt", rest, zero), apply("lt", b, zero))
    turned = apply("and", apply("ne", rest, zero), sides)
    return apply("select", turned, apply("add", rest, b), rest)


def whole_power(a: Tensor, b: Tensor) -> Tensor:
    """``a ** b`` of integers by squaring, which wraps as their product does.

    A negative exponent gives the whole part: 1 for 1, a sign for -1, else 0.
    """
    one, zero, minus = filled(a, 1), filled(a, 0), filled(a, -1)
    out, rest = one, apply("select", apply("lt", b, zero), zero, b)
    for bit in reversed(range(8 * a.value.type.dtype.itemsize - (a.dtype.kind == "i"))):
        odd = apply("ge", rest, filled(b, 2**bit))
        rest = apply("select", odd, apply("sub", rest, filled(b, 2**bit)), rest)
        out = apply("mul", out, out)
        out = apply("select", odd, apply("mul", out, a), out)
    if a.dtype.kind == "u":
        return out
    turned = apply("mul", _quotient_and_rest(b, filled(b, 2))[1], minus)  # 0 or -1
    sign = apply("select", apply("eq", turned, zero), one, minus)
    inverse = apply("select", apply("eq", a, minus), sign, zero)
    inverse = apply("select", apply("eq", a, one), one, inverse)
    return apply("select", apply("lt", b, zero), inverse, out)
