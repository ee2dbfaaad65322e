"""Shapes or probabilities in, tensors of random numbers out.

``generator`` is an ``engine.Generator``; without one the default stream is drawn from, which
``engine.manual_seed`` seeds. The numbers differ from PyTorch's; their distributions do not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from engine.arithmetic import add, ceil, clamp, cos, div, exp, log, lt, mul, sin
from engine.creation import beside, leaf
from engine.dispatch import Operand, cast, describe, operands
from engine.dtypes import as_dtype, float32, int64
from engine.errors import DTypeError, ShapeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.placement import Placement
from engine.random import (
    Generator,
    integer_values,
    normal_values,
    permutation,
    uniform_values,
)
from engine.reductions import sum as total
from engine.shaping import sizes, unsqueeze
from engine.sorting import searchsorted, topk
from engine.state import TensorState
from ir.types import DType, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]


def _float(dtype: Any, name: str) -> DType:
    kind = as_dtype(dtype or float32)
    if not is_float(kind):
        raise DTypeError(message(user_location(), f"{name}() draws floats, not {kind}"))
    return kind


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Uniform in [0, 1)."""
    drawn = uniform_values(sizes(size), _float(dtype, "rand"), generator)
    return leaf(drawn, requires_grad, place)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Standard normal."""
    drawn = normal_values(sizes(size), _float(dtype, "randn"), generator)
    return leaf(drawn, requires_grad, place)


def rand_like(
    x: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Uniform in [0, 1), of the type of ``x``."""
    drawn = uniform_values(x.shape, _float(dtype or x.dtype, "rand_like"), generator)
    return leaf(drawn, requires_grad, beside(x, place))


def randn_like(
    x: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Standard normal, of the type of ``x``."""
    drawn = normal_values(x.shape, _float(dtype or x.dtype, "randn_like"), generator)
    return leaf(drawn, requires_grad, beside(x, place))


def _range(low: int, high: int) -> None:
    if low >= high:
        text = f"random integers from {low} up to {high}: the range is empty"
        raise ShapeError(message(user_location(), text))


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Uniform integers in [low, high); ``randint(high, size)`` starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    _range(low, high)
    drawn = integer_values(low, high, sizes((size,)), as_dtype(dtype or int64), generator)
    return leaf(drawn, requires_grad, place)


def randint_like(
    x: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Uniform integers in [low, high), of the type of ``x``."""
    low, high = (0, low) if high is None else (low, high)
    _range(low, high)
    drawn = integer_values(low, high, x.shape, as_dtype(dtype or x.dtype), generator)
    return leaf(drawn, requires_grad, beside(x, place))


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """A random order of ``range(n)``."""
    if n < 0:
        raise ShapeError(message(user_location(), f"randperm({n}): the count is negative"))
    order = permutation(n, generator).astype(as_dtype(dtype or int64))
    return leaf(TensorState._plain._from_array(order), requires_grad, place)


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` holds (or ``p``), else 0; no gradient."""
    kind = input.value.type
    if p is None:
        _float(kind.dtype, "bernoulli")
    chance: Any = input if p is None else p
    _probabilities(chance, "bernoulli", 1.0)
    wide = kind.dtype if is_float(kind.dtype) else float32
    return cast(lt(uniform_values(kind.shape, wide, generator), chance), kind.dtype).detach()


def _probabilities(chance: Any, name: str, most: float = math.inf) -> None:
    """RuntimeError for values outside [0, ``most``], where they are known."""
    values = chance.value.array if isinstance(chance, TensorState) else np.asarray(chance)
    if modes.trace is not None or values is None:
        return
    if not ((values >= 0) & (values <= most) & np.isfinite(values)).all():
        text = f"{name}(): probabilities must lie in [0, {most}]"
        raise ShapeError(message(user_location(), text))


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    **place: Unpack[Placement],
) -> Tensor:
    """Normal of ``mean`` and ``std``: tensors that broadcast, or numbers with a ``size``."""
    if not isinstance(std, TensorState) and std < 0:
        raise ShapeError(message(user_location(), f"normal(): std must not be negative: {std}"))
    if size is not None:
        drawn = normal_values(sizes((size,)), _float(dtype, "normal"), generator)
        return leaf(add(mul(drawn, std), mean), requires_grad, place)
    first: Any = mean if isinstance(mean, TensorState) else std
    shaped = operands(first, mean, std, op="normal")[0].value.type
    drawn = normal_values(shaped.shape, _float(shaped.dtype, "normal"), generator)
    return add(mul(drawn, std), mean).detach()


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """``num_samples`` positions [..., k] drawn by the weights of ``input`` [n] or [m, n].

    With replacement a uniform number is looked up in the running sums; without, the positions of
    the ``k`` largest weights over exponential numbers are taken (Efraimidis and Spirakis, 2006).
    """
    shape = input.value.type.shape
    _float(input.value.type.dtype, "multinomial")
    rule = ""
    if len(shape) not in {1, 2}:
        rule = "the weights must have 1 or 2 dimensions"
    elif num_samples <= 0:
        rule = "at least one sample must be asked for"
    elif not replacement and isinstance(shape[-1], int) and num_samples > shape[-1]:
        rule = "without replacement there cannot be more samples than weights"
    elif isinstance(shape[-1], int) and shape[-1] > 2**24:
        rule = "there can be 2**24 weights"
    if rule:
        text = f"multinomial({describe(input)}, {num_samples}): {rule}"
        raise ShapeError(message(user_location(), text))
    _probabilities(input, "multinomial")
    if modes.trace is None and not bool((total(input.detach(), -1) > 0).all()):
        raise ShapeError(message(user_location(), "multinomial(): the weights sum to 0"))
    weights = input.detach()
    if not replacement:
        return topk(div(weights, exponential_values(weights, 1.0, generator)), num_samples).indices
    running = weights.cumsum(-1)
    drawn = uniform_values((*shape[:-1], num_samples), input.dtype, generator)
    return searchsorted(running, mul(drawn, unsqueeze(total(weights, -1), -1)), right=True)


def exponential_values(
    x: Tensor, rate: Operand = 1.0, generator: Generator | None = None
) -> Tensor:
    """Exponential numbers of ``rate`` in the type of ``x``, never 0."""
    kind = x.value.type
    drawn = uniform_values(kind.shape, _float(kind.dtype, "exponential_"), generator)
    tiny = 2.0**-33 if kind.dtype != float32 else 2.0**-25
    return div(-log(clamp(add(-drawn, 1.0), max=1.0 - tiny)), rate)


def _fill(x: Tensor, values: Tensor) -> Tensor:
    """``x`` now holds ``values``, drawn in its shape."""
    x._check_write()
    return x._assign(cast(values.detach(), x.value.type.dtype).value)


def uniform_(
    x: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Every element drawn from [a, b)."""
    kind = x.value.type
    drawn = uniform_values(kind.shape, _float(kind.dtype, "uniform_"), generator)
    return _fill(x, drawn * (b - a) + a)


def normal_(
    x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Every element drawn from a normal distribution."""
    if std < 0:
        raise ShapeError(message(user_location(), f"normal_(): std must not be negative: {std}"))
    kind = x.value.type
    drawn = normal_values(kind.shape, _float(kind.dtype, "normal_"), generator)
    return _fill(x, drawn * std + mean)


def bernoulli_(x: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Every element 1 with probability ``p``, else 0."""
    return _fill(x, bernoulli(x, p, generator=generator))


def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Every element drawn from the exponential distribution of rate ``lambd``."""
    return _fill(x, exponential_values(x, lambd, generator))


def geometric_(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Every element the number of trials of chance ``p`` up to the first success."""
    if not 0 < p < 1:
        raise ShapeError(message(user_location(), f"geometric_(): p must lie in (0, 1): {p}"))
    return _fill(x, ceil(exponential_values(x, -math.log1p(-p), generator)))


def log_normal_(
    x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Every element ``exp`` of a normal number."""
    kind = x.value.type
    drawn = normal_values(kind.shape, _float(kind.dtype, "log_normal_"), generator)
    return _fill(x, exp(drawn * std + mean))


def cauchy_(
    x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Every element drawn from a Cauchy distribution."""
    kind = x.value.type
    turn = (uniform_values(kind.shape, _float(kind.dtype, "cauchy_"), generator) - 0.5) * math.pi
    return _fill(x, sin(turn) / cos(turn) * sigma + median)


def random_(
    x: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Every element an integer of [low, high), or of [0, low); without both, any that fits.

    Without ends a float dtype takes what it holds exactly, an integer dtype at most 2**31.
    """
    kind = x.value.type
    if high is None:
        low, high = 0, low if low > 0 else _most(kind.dtype)
    _range(low, high)
    return _fill(x, integer_values(low, high, kind.shape, kind.dtype, generator))


def _most(dtype: DType) -> int:
    """One above the largest integer that ``random_`` draws for ``dtype``."""
    if is_float(dtype):
        return 2**24 if dtype == float32 else 2**31
    return 2 if dtype.kind == "b" else min(2 ** (8 * dtype.itemsize - (dtype.kind == "i")), 2**31)
