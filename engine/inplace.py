"""A tensor and what to write in, the same tensor with new contents out: ``add_``, ``+=``.

A write is the out-of-place function followed by one assignment, so it has the same gradient, and
the version counter of the memory tells a later ``backward`` that the old contents are gone. The
table lists the functions that have such a form; ``FORMS`` holds them by PyTorch's names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from engine import arithmetic, bits, gamma, norms, predicates, running, specials, trigonometry
from engine.dispatch import Operand, cast, describe, expand_to, scalar
from engine.division import flat_in
from engine.dtypes import KIND_RANK
from engine.errors import DTypeError, ShapeError, message
from engine.gathering import cumsum
from engine.locate import user_location
from engine.moving import moved

if TYPE_CHECKING:
    from engine.tensor import Tensor

Form: TypeAlias = "Callable[..., Tensor]"

TABLE: tuple[tuple[Any, str], ...] = (
    (
        arithmetic,
        "abs add ceil clamp cos div eq erf exp expm1 floor floor_divide ge gt le log log1p lt "
        "masked_fill mul ne neg pow reciprocal relu remainder rsqrt sigmoid sign sin sqrt square "
        "sub tanh",
    ),
    (
        specials,
        "absolute addcdiv addcmul clamp_max clamp_min clip copysign divide exp2 fix float_power "
        "fmod frac heaviside hypot ldexp lerp log10 log2 logit multiply nan_to_num negative round "
        "sgn subtract true_divide trunc xlogy",
    ),
    (
        trigonometry,
        "acos acosh arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 "
        "atanh cosh deg2rad rad2deg sinc sinh tan",
    ),
    (
        predicates,
        "bitwise_and bitwise_not bitwise_or bitwise_xor greater greater_equal less less_equal "
        "logical_and logical_not logical_or logical_xor not_equal",
    ),
    (bits, "bitwise_left_shift bitwise_right_shift"),
    (gamma, "digamma erfc erfinv i0 lgamma"),
    (norms, "renorm"),
)


def write(x: Tensor, result: Tensor) -> Tensor:
    """``x`` now holds ``result``: same shape, and a dtype that ``x`` can hold."""
    x._check_write()
    own, new = x.value.type, result.value.type
    if own.shape != new.shape:
        text = f"in-place result {describe(result)} does not fit into {describe(x)}"
        raise ShapeError(message(user_location(), text))
    if KIND_RANK[new.dtype.kind] > KIND_RANK[own.dtype.kind]:
        text = f"in-place result of dtype {new.dtype} cannot be stored as {own.dtype}"
        raise DTypeError(message(user_location(), text))
    return x._assign(cast(result, own.dtype).value)


def form(name: str, function: Form) -> Form:
    """``function`` with its result written into its first argument."""

    def run(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return write(x, function(x, *args, **kwargs))

    run.__name__ = f"{name}_"
    run.__doc__ = f"``{name}`` written into the tensor itself; the shape and dtype stay."
    return run


FORMS: dict[str, Form] = {
    f"{name}_": form(name, getattr(module, name))
    for module, names in TABLE
    for name in names.split()
}
# These read parts of the tensor, whose memory would change under the gradient.
FORMS["cumsum_"] = form("cumsum", lambda x, *args, **kw: cumsum(x.clone(), *args, **kw))
FORMS["cumprod_"] = form("cumprod", lambda x, *args, **kw: running.cumprod(x.clone(), *args, **kw))

add_, sub_, mul_, div_, pow_ = (FORMS[f"{n}_"] for n in ("add", "sub", "mul", "div", "pow"))
neg_, exp_, sqrt_, relu_ = (FORMS[f"{n}_"] for n in ("neg", "exp", "sqrt", "relu"))
addcmul_, addcdiv_, lerp_ = (FORMS[f"{n}_"] for n in ("addcmul", "addcdiv", "lerp"))
clamp_, masked_fill_ = FORMS["clamp_"], FORMS["masked_fill_"]


def fill_(x: Tensor, value: Operand) -> Tensor:
    """Every element set to ``value``: a number, or a tensor of one element without dimensions."""
    x._check_write()
    kind = x.value.type
    if isinstance(value, int | float):
        return copy_(x, flat_in(scalar(x, value, kind.dtype, kind.shape), x))
    given: Any = value
    if getattr(given, "ndim", 0):
        text = f"fill_() takes a number or a tensor without dimensions, not {describe(given)}"
        raise ShapeError(message(user_location(), text))
    return copy_(x, value)


def zero_(x: Tensor) -> Tensor:
    """Every element set to 0."""
    return fill_(x, 0)


def copy_(x: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """The elements of ``source``, broadcast and cast, written into ``x``."""
    x._check_write()
    kind = x.value.type
    (source,) = _as_tensors(x, source)
    if source.value.home is not None and x.value.home is not None:
        source = moved(source, x.value.home, non_blocking)
    return x._assign(expand_to(cast(source, kind.dtype), kind.shape).value)


def _as_tensors(x: Tensor, source: Any) -> list[Tensor]:
    if hasattr(source, "value"):
        return [source]
    return [scalar(x, source, x.value.type.dtype)]
