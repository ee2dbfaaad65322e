"""Equal shapes in, the same shape out: ops that map each element by itself.

Broadcast and cast are ops of their own, so no rule here mentions either. Operands of a row share
one dtype, except where the row says otherwise (``select``, ``cast``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.errors import broken, wrong_dtype
from ir.table import Array, Case, Op, Vjp
from ir.types import BF16, BOOL, F16, TensorType, is_float, is_half, short

ANY, FLOAT, NUMBER, INTEGER, LOGIC = "any", "float", "number", "integer", "logic"
NORMAL = 1 / math.sqrt(2 * math.pi)  # the normal distribution's density at 0
_KINDS = {ANY: "fiub", FLOAT: "f", NUMBER: "fiu", INTEGER: "iu", LOGIC: "iub"}


def _same(types: Sequence[TensorType], kinds: str, half: bool = False) -> TensorType:
    first = types[0]
    for other in types[1:]:
        if other.shape != first.shape:
            raise broken(
                f"shapes differ: {list(first.shape)} and {list(other.shape)}",
                "broadcast one operand to the other's shape first",
            )
        if other.dtype != first.dtype:
            raise wrong_dtype(
                f"dtypes differ: {short(first.dtype)} and {short(other.dtype)}",
                "cast one operand to the other's dtype first",
            )
    if half and is_half(first.dtype):
        return first
    if first.dtype.kind not in _KINDS[kinds] or is_half(first.dtype):
        raise wrong_dtype(f"takes {kinds} operands, not {short(first.dtype)}")
    return first


def elementwise(
    name: str,
    function: Callable[..., Any],
    arity: int,
    text: str,
    vjp: Vjp | None = None,
    kinds: str = FLOAT,
    cost: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    logical: bool = False,
) -> Op:
    """A row whose result has the operands' type (``logical``: bool of the same shape)."""

    def infer(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
        same = _same(types, kinds)
        return same.with_dtype(BOOL) if logical else same

    def evaluate(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            out = function(*arrays)
        return np.asarray(out).astype(BOOL if logical else arrays[0].dtype, copy=False)

    shapes = ((3, 5),) * arity
    dtype = {INTEGER: "i64", LOGIC: "bool"}.get(kinds, "f32")
    cases = (
        Case(shapes, dtypes=(dtype,) * arity, low=low, high=high),
        Case(((2, 1, 37),) * arity, dtypes=(dtype,) * arity, low=low, high=high),
        Case(((),) * arity, dtypes=(dtype,) * arity, low=low, high=high),
    )
    return Op(name, "elementwise", arity, infer, evaluate, vjp, text, cost, cases)


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[x.dtype])(x))


def _gelu(x: Array) -> Array:
    """``x`` times the normal distribution's mass below ``x``."""
    return np.asarray(x * _normal_mass(x))


def _gelu_slope(x: Array) -> Array:
    return np.asarray(_normal_mass(x) + x * (np.exp(x * x * -0.5) * NORMAL))


def _normal_mass(x: Array) -> Array:
    return np.asarray((_erf(x * math.sqrt(0.5)) + 1) * 0.5)


def _vjp_gelu_slope(m: Any, n: Any, g: Any) -> Sequence[Any]:
    (x,) = n.inputs
    square = m.mul(x, x)
    density = m.mul(m.exp(m.mul(square, -0.5)), NORMAL)
    return (m.mul(g, m.mul(density, m.sub(2.0, square))),)


def _infer_select(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    if types[0].dtype != BOOL:
        raise wrong_dtype(f"the condition must be bool, not {short(types[0].dtype)}")
    if types[0].shape != types[1].shape:
        raise broken(f"shapes differ: {list(types[0].shape)} and {list(types[1].shape)}")
    return _same(types[1:], ANY, half=True)


def _vjp_select(m: Any, n: Any, g: Any) -> Sequence[Any]:
    zero = m.full_like(g, 0)
    return None, m.select(n.inputs[0], g, zero), m.select(n.inputs[0], zero, g)


def _sigmoid(x: Array) -> Array:
    """Written so that nothing overflows."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1) / (1 + small))


def _infer_cast(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    return types[0].with_dtype(attrs["dtype"])


def _cast(x: Array, dtype: Any) -> Array:
    """A half goes through float32, as in PyTorch: from float64 it is rounded twice."""
    with np.errstate(all="ignore"):
        if is_half(dtype) or is_half(x.dtype):
            x = x.astype(np.float32)
        return x.astype(dtype)


def _vjp_cast(m: Any, n: Any, g: Any) -> Sequence[Any]:
    source = n.inputs[0].dtype
    return (m.cast(g, source) if is_float(source) else None,)


def _by_sign(m: Any, x: Any, g: Any) -> Any:
    """``g`` times the sign of ``x``, which counts as 0 for NaN, as in PyTorch."""
    known = m.eq(x, x)
    return m.mul(g, m.select(known, m.sign(x), m.full_like(g, 0)))


def _vjp_larger(m: Any, n: Any, g: Any, wins: Callable[..., Any]) -> Sequence[Any]:
    """Half to each side of a tie, as PyTorch does."""
    a, b = n.inputs
    half, zero = m.mul(g, 0.5), m.full_like(g, 0)
    tie = m.eq(a, b)
    left = m.select(tie, half, m.select(wins(a, b), g, zero))
    right = m.select(tie, half, m.select(wins(b, a), g, zero))
    return left, right


def _vjp_fmod(m: Any, n: Any, g: Any) -> Sequence[Any]:
    """``x - trunc(x / y) * y`` away from the jumps."""
    quotient = m.div(*n.inputs)
    down, up = m.apply("floor", quotient), m.apply("ceil", quotient)
    whole = m.select(m.lt(quotient, 0.0), up, down)
    return g, m.neg(m.mul(g, whole))


def _vjp_pow(m: Any, n: Any, g: Any) -> Sequence[Any]:
    a, b = n.inputs
    da = m.mul(g, m.mul(b, m.pow(a, m.sub(b, 1.0))))
    grows = m.mul(g, m.mul(n, m.log(a)))
    db = m.select(m.eq(a, 0.0), m.full_like(g, 0), grows)
    return m.select(m.eq(b, 0.0), m.full_like(g, 0), da), db


ROWS: tuple[Op, ...] = (
    elementwise("neg", np.negative, 1, "-{0}", lambda m, n, g: (m.neg(g),), NUMBER),
    elementwise(
        "abs", np.abs, 1, "abs({0})", lambda m, n, g: (_by_sign(m, n.inputs[0], g),), NUMBER
    ),
    elementwise("sign", np.sign, 1, "np.sign({0})", lambda m, n, g: (m.full_like(g, 0),), NUMBER),
    elementwise(
        "relu",
        lambda x: np.where(x < 0, x.dtype.type(0), x),
        1,
        "({zero} if {0} < {zero} else {0})",
        lambda m, n, g: (m.select(m.apply("le", n, m.full_like(n, 0)), m.full_like(g, 0), g),),
    ),
    elementwise("exp", np.exp, 1, "math.exp({0})", lambda m, n, g: (m.mul(g, n),), cost=10),
    elementwise(
        "expm1", np.expm1, 1, "math.expm1({0})", lambda m, n, g: (m.mul(g, m.add(n, 1.0)),), cost=14
    ),
    elementwise(
        "log",
        np.log,
        1,
        "math.log({0})",
        lambda m, n, g: (m.div(g, n.inputs[0]),),
        cost=10,
        low=0.1,
        high=4.0,
    ),
    elementwise(
        "log1p",
        np.log1p,
        1,
        "math.log1p({0})",
        lambda m, n, g: (m.div(g, m.add(n.inputs[0], 1.0)),),
        cost=14,
        low=-0.9,
        high=4.0,
    ),
    elementwise(
        "sqrt",
        np.sqrt,
        1,
        "math.sqrt({0})",
        lambda m, n, g: (m.div(m.mul(g, 0.5), n),),
        cost=4,
        low=0.1,
        high=4.0,
    ),
    elementwise(
        "sin",
        np.sin,
        1,
        "math.sin({0})",
        lambda m, n, g: (m.mul(g, m.cos(n.inputs[0])),),
        cost=20,
    ),
    elementwise(
        "cos",
        np.cos,
        1,
        "math.cos({0})",
        lambda m, n, g: (m.neg(m.mul(g, m.sin(n.inputs[0]))),),
        cost=20,
    ),
    elementwise(
        "tanh",
        np.tanh,
        1,
        "math.tanh({0})",
        lambda m, n, g: (m.mul(g, m.sub(1.0, m.mul(n, n))),),
        cost=15,
    ),
    elementwise(
        "sigmoid",
        _sigmoid,
        1,
        "(math.exp(min({0}, 0.0)) / (1.0 + math.exp(-abs({0}))))",
        lambda m, n, g: (m.mul(g, m.mul(n, m.sub(1.0, n))),),
        cost=15,
    ),
    elementwise(
        "erf",
        _erf,
        1,
        "math.erf({0})",
        lambda m, n, g: (
            m.mul(
                m.mul(g, 2.0 / math.sqrt(math.pi)),
                m.exp(m.neg(m.mul(n.inputs[0], n.inputs[0]))),
            ),
        ),
        cost=20,
    ),
    # Primitives, so that a network's backward pass multiplies by one stored slope: composed of erf
    # and exp, it would read three arrays and add two products.
    elementwise(
        "gelu",
        _gelu,
        1,
        f"({{0}} * ((math.erf({{0}} * {math.sqrt(0.5)!r}) + 1.0) * 0.5))",
        lambda m, n, g: (m.mul(g, m.apply("gelu_slope", n.inputs[0])),),
        cost=25,
    ),
    elementwise(
        "gelu_slope",
        _gelu_slope,
        1,
        f"((math.erf({{0}} * {math.sqrt(0.5)!r}) + 1.0) * 0.5"
        f" + {{0}} * (math.exp({{0}} * {{0}} * -0.5) * {NORMAL!r}))",
        _vjp_gelu_slope,
        cost=25,
    ),
    elementwise("floor", np.floor, 1, "math.floor({0})", lambda m, n, g: (m.full_like(g, 0),)),
    elementwise("ceil", np.ceil, 1, "math.ceil({0})", lambda m, n, g: (m.full_like(g, 0),)),
    elementwise("not", np.logical_not, 1, "not {0}", None, LOGIC, logical=True),
    elementwise("add", np.add, 2, "{0} + {1}", lambda m, n, g: (g, g), NUMBER),
    elementwise("sub", np.subtract, 2, "{0} - {1}", lambda m, n, g: (g, m.neg(g)), NUMBER),
    elementwise(
        "mul",
        np.multiply,
        2,
        "{0} * {1}",
        lambda m, n, g: (m.mul(g, n.inputs[1]), m.mul(g, n.inputs[0])),
        NUMBER,
    ),
    elementwise(
        "div",
        np.divide,
        2,
        "{0} / {1}",
        lambda m, n, g: (
            m.div(g, n.inputs[1]),
            m.neg(m.div(m.mul(g, n), n.inputs[1])),
        ),
        cost=4,
        low=0.5,
        high=3.0,
    ),
    elementwise("pow", np.power, 2, "{0} ** {1}", _vjp_pow, cost=30, low=0.2, high=2.5),
    elementwise("fmod", np.fmod, 2, "np.fmod({0}, {1})", _vjp_fmod, cost=20, low=0.3, high=2.9),
    elementwise(
        "maximum",
        np.maximum,
        2,
        "({0} if {0} > {1} or {0} != {0} else {1})",
        lambda m, n, g: _vjp_larger(m, n, g, m.gt),
        NUMBER,
    ),
    elementwise(
        "minimum",
        np.minimum,
        2,
        "({0} if {0} < {1} or {0} != {0} else {1})",
        lambda m, n, g: _vjp_larger(m, n, g, m.lt),
        NUMBER,
    ),
    elementwise("eq", np.equal, 2, "{0} == {1}", None, ANY, logical=True),
    elementwise("ne", np.not_equal, 2, "{0} != {1}", None, ANY, logical=True),
    elementwise("lt", np.less, 2, "{0} < {1}", None, NUMBER, logical=True),
    elementwise("le", np.less_equal, 2, "{0} <= {1}", None, NUMBER, logical=True),
    elementwise("gt", np.greater, 2, "{0} > {1}", None, NUMBER, logical=True),
    elementwise("ge", np.greater_equal, 2, "{0} >= {1}", None, NUMBER, logical=True),
    elementwise("and", np.bitwise_and, 2, "{0} & {1}", None, LOGIC),
    elementwise("or", np.bitwise_or, 2, "{0} | {1}", None, LOGIC),
    elementwise("xor", np.bitwise_xor, 2, "{0} ^ {1}", None, LOGIC),
    Op(
        "select",
        "elementwise",
        3,
        _infer_select,
        np.where,
        _vjp_select,
        "({1} if {0} else {2})",
        1.0,
        (
            Case(((3, 5),) * 3, dtypes=("bool", "f32", "f32")),
            Case(((2, 33),) * 3, dtypes=("bool", "i64", "i64")),
        ),
    ),
    Op(
        "cast",
        "elementwise",
        1,
        _infer_cast,
        _cast,
        _vjp_cast,
        "{dtype}({0})",
        1.0,
        (
            Case(((3, 5),), {"dtype": np.dtype(np.float64)}, ("f32",)),
            Case(((3, 37),), {"dtype": np.dtype(np.float32)}, ("i64",)),
            Case(((3, 5),), {"dtype": np.dtype(np.int32)}, ("f32",)),
            Case(((3, 5),), {"dtype": np.dtype(np.float32)}, ("bool",)),
            Case(((3, 5),), {"dtype": np.dtype(np.bool_)}, ("i64",)),
            Case(((3, 37),), {"dtype": F16}, ("f32",), -1e5, 1e5),
            Case(((3, 37),), {"dtype": BF16}, ("f32",)),
            Case(((3, 37),), {"dtype": np.dtype(np.float32)}, ("f16",)),
            Case(((3, 37),), {"dtype": np.dtype(np.float32)}, ("bf16",)),
            Case(((3, 37),), {"dtype": np.dtype(np.int32)}, ("bf16",), -9.0, 9.0),
        ),
    ),
)
