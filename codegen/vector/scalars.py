"""Values of one op in, the LLVM instructions of that op out, for scalars and vectors alike."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from codegen.vector.builder import LANES, Builder, Value, element_of, vector_of
from codegen.vector.doubles import DOUBLES
from codegen.vector.mathematics import APPROXIMATIONS
from codegen.vector.precise import PRECISE
from ir.errors import UnsupportedError
from ir.ops.elementwise import NORMAL
from ir.ops.source import PARITY, ROTATIONS
from ir.types import F16, F32, DType, is_half

TYPES = {"f4": "float", "f8": "double", "b1": "i1"}
_FLOAT_COMPARE = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_INT_COMPARE = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
_ARITHMETIC = {"add": ("fadd", "add"), "sub": ("fsub", "sub"), "mul": ("fmul", "mul")}
_LIBM = {"exp", "log", "log1p", "expm1", "sin", "cos", "tanh", "erf", "pow", "fmod"}
_OWN = {vector_of("float"): APPROXIMATIONS, vector_of("double"): DOUBLES | PRECISE}
_INTRINSIC = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil"}


def type_of(dtype: DType) -> str:
    """The LLVM type of a dtype in registers (bool is i1; in memory it is a byte)."""
    return TYPES.get(f"{dtype.kind}{dtype.itemsize}", f"i{8 * dtype.itemsize}")


def literal(value: Any, dtype: DType) -> Value:
    """A constant."""
    return Value(constant_text(value, dtype), type_of(dtype))


def constant_text(value: Any, dtype: DType) -> str:
    if is_half(dtype):
        return str(int(np.asarray(value, dtype).view(np.uint16)))
    if dtype.kind == "f":
        exact = dtype.type(value)
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(exact)))[0]:016X}"
    if dtype.kind == "b":
        return "true" if value else "false"
    return str(int(value))


def spread(b: Builder, value: Value) -> Value:
    """The scalar in every lane; a vector unchanged."""
    if value.is_vector:
        return value
    wide = vector_of(value.type)
    one = b.pure(f"insertelement {wide} poison, {value.type} {{0}}, i32 0", wide, value)
    mask = f"<{LANES} x i32> zeroinitializer"
    return b.pure(f"shufflevector {wide} {{0}}, {wide} poison, {mask}", wide, one)


def level(b: Builder, values: Sequence[Value]) -> list[Value]:
    """All scalars, or all vectors where one is."""
    return [spread(b, v) for v in values] if any(v.is_vector for v in values) else list(values)


def emit(b: Builder, op: str, args: Sequence[Value], source: DType, dtype: DType) -> Value:
    """``op`` on values whose element dtype is ``source``; the result has ``dtype``."""
    if op == "threefry":
        return threefry(b, *args)
    if op == "select":
        return select(b, *args)
    args = level(b, args)
    if op == "cast":
        return cast(b, args[0], source, dtype)
    type_, is_float = args[0].type, source.kind == "f"
    if op == "muladd":
        return b.call(f"llvm.fmuladd.{suffix(type_)}", type_, *args)
    if op in _ARITHMETIC:
        return b.pure(f"{_ARITHMETIC[op][not is_float]} {type_} {{0}}, {{1}}", type_, *args)
    if op in _INT_COMPARE:
        return compare(b, op, args[0], args[1], source)
    if op in _INTRINSIC:
        return b.call(f"llvm.{_INTRINSIC[op]}.{suffix(type_)}", type_, *args)
    if op in _LIBM:
        return _transcendental(b, op, args, source)
    if op in _RULES:
        return _RULES[op](b, args, source)
    raise UnsupportedError(f"no vector lowering for op {op} on {source}")


def suffix(type_: str) -> str:
    """The type as intrinsics are named: ``v16f32``, ``f64``, ``i64``."""
    element = {"float": "f32", "double": "f64"}.get(element_of(type_), element_of(type_))
    return f"v{LANES}{element}" if type_.startswith("<") else element


def compare(b: Builder, op: str, x: Value, y: Value, source: DType) -> Value:
    out = vector_of("i1") if x.is_vector else "i1"
    if source.kind == "f":
        return b.pure(f"fcmp {_FLOAT_COMPARE[op]} {x.type} {{0}}, {{1}}", out, x, y)
    sign = "" if op in ("eq", "ne") else ("s" if source.kind == "i" else "u")
    return b.pure(f"icmp {sign}{_INT_COMPARE[op]} {x.type} {{0}}, {{1}}", out, x, y)


def select(b: Builder, condition: Value, x: Value, y: Value) -> Value:
    if condition.name == "true":
        return x
    if condition.name == "false":
        return y
    if condition.is_vector or x.is_vector or y.is_vector:
        x, y = spread(b, x), spread(b, y)
    return b.pure(
        f"select {condition.type} {{0}}, {x.type} {{1}}, {x.type} {{2}}", x.type, condition, x, y
    )


def cast(b: Builder, x: Value, source: DType, dtype: DType) -> Value:
    if is_half(source) and source != dtype:
        return cast(b, _widened(b, x, source), F32, dtype)
    if is_half(dtype) and source != dtype:
        return _narrowed(b, cast(b, x, source, F32), dtype)
    to = vector_of(type_of(dtype)) if x.is_vector else type_of(dtype)
    if dtype.kind == "b":
        zero = Value("zeroinitializer" if x.is_vector else constant_text(0, source), x.type)
        return compare(b, "ne", x, zero, source)
    if x.type == to:
        return x
    unsigned = source.kind in "ub"
    if source.kind == "f":
        if dtype.kind == "f":
            word = "fpext" if dtype.itemsize > source.itemsize else "fptrunc"
        else:
            word = "fptoui" if dtype.kind == "u" else "fptosi"
    elif dtype.kind == "f":
        word = "uitofp" if unsigned else "sitofp"
    else:
        narrower = source.kind != "b" and dtype.itemsize < source.itemsize
        word = "trunc" if narrower else ("zext" if unsigned else "sext")
    return b.pure(f"{word} {x.type} {{0}} to {to}", to, x)


def _as(b: Builder, word: str, x: Value, to: str) -> Value:
    to = vector_of(to) if x.is_vector else to
    return b.pure(f"{word} {x.type} {{0}} to {to}", to, x)


def _widened(b: Builder, bits: Value, source: DType) -> Value:
    """The float32 of a half, of which registers hold the bits."""
    if source == F16:
        return _as(b, "fpext", _as(b, "bitcast", bits, "half"), "float")
    wide = _as(b, "zext", bits, "i32")
    return _as(b, "bitcast", _with(b, "shl", wide, 16), "float")


def _narrowed(b: Builder, x: Value, dtype: DType) -> Value:
    """The bits of a half, rounded to the nearest, ties to even."""
    if dtype == F16:
        return _as(b, "bitcast", _as(b, "fptrunc", x, "half"), "i16")
    bits = _as(b, "bitcast", x, "i32")
    odd = _with(b, "and", _with(b, "lshr", bits, 16), 1)
    carried = _with(b, "add", b.pure(f"add {bits.type} {{0}}, {{1}}", bits.type, bits, odd), 0x7FFF)
    flag = vector_of("i1") if x.is_vector else "i1"
    nan = b.pure(f"fcmp uno {x.type} {{0}}, {{1}}", flag, x, x)
    kept = select(b, nan, _with(b, "or", bits, 0x400000), carried)
    return _as(b, "trunc", _with(b, "lshr", kept, 16), "i16")


def _with(b: Builder, word: str, x: Value, number: int) -> Value:
    """``x`` and the same number in every lane."""
    return b.pure(
        f"{word} {x.type} {{0}}, {{1}}", x.type, *level(b, [x, Value(str(number), "i32")])
    )


def larger(b: Builder, new: Value, old: Value, source: DType, op: str = "gt") -> Value:
    """Whether ``new`` replaces ``old`` in a maximum: larger, or NaN."""
    wins = compare(b, op, new, old, source)
    if source.kind != "f":
        return wins
    out = wins.type
    nan = b.pure(f"fcmp uno {new.type} {{0}}, {{1}}", out, new, new)
    return b.pure(f"or {out} {{0}}, {{1}}", out, wins, nan)


def lanes_of(b: Builder, x: Value) -> list[Value]:
    """The sixteen elements of a vector."""
    element = element_of(x.type)
    return [
        b.pure(f"extractelement {x.type} {{0}}, i32 {lane}", element, x) for lane in range(LANES)
    ]


def gathered(b: Builder, lanes: Sequence[Value]) -> Value:
    """A vector of sixteen scalars."""
    wide = vector_of(lanes[0].type)
    out = Value("poison", wide)
    for at, lane in enumerate(lanes):
        text = f"insertelement {wide} {{0}}, {lane.type} {{1}}, i32 {at}"
        out = b.pure(text, wide, out, lane)
    return out


def threefry(b: Builder, k0: Value, k1: Value, position: Value) -> Value:
    """Threefry-2x32 with 20 rounds; see ``ir.ops.source``."""
    wide = position.is_vector
    to = vector_of("i32") if wide else "i32"
    x0 = b.pure(f"trunc {position.type} {{0}} to {to}", to, position)
    parity = Value(str(PARITY), "i32")
    k2 = b.pure("xor i32 {0}, {1}", "i32", b.pure("xor i32 {0}, {1}", "i32", k0, k1), parity)
    keys = [spread(b, k) if wide else k for k in (k0, k1, k2)]

    def add(x: Value, y: Value) -> Value:
        return b.pure(f"add {to} {{0}}, {{1}}", to, x, y)

    x0 = add(x0, keys[0])
    x1 = keys[1]
    for group in range(5):
        for turn in ROTATIONS[group % 2]:
            x0 = add(x0, x1)
            count = Value(str(turn), "i32")
            x1 = b.call(f"llvm.fshl.{suffix(to)}", to, x1, x1, spread(b, count) if wide else count)
            x1 = b.pure(f"xor {to} {{0}}, {{1}}", to, x1, x0)
        x0 = add(x0, keys[(group + 1) % 3])
        more = Value(str(group + 1), "i32")
        x1 = add(add(x1, keys[(group + 2) % 3]), spread(b, more) if wide else more)
    return x0


def _transcendental(b: Builder, op: str, args: Sequence[Value], source: DType) -> Value:
    """Our own polynomial for vectors where there is one; libm lane by lane elsewhere."""
    x = args[0]
    own = _OWN.get(x.type, {})
    if op in own:
        return own[op](b, *args)
    name = op + ("f" if source.itemsize == 4 else "")
    if not x.is_vector:
        return b.call(name, x.type, *args)
    columns = [lanes_of(b, a) for a in args]
    return gathered(
        b, [b.call(name, element_of(x.type), *row) for row in zip(*columns, strict=True)]
    )


def _zero(x: Value) -> Value:
    return Value(
        "zeroinitializer" if x.is_vector else ("0.0" if x.type in ("float", "double") else "0"),
        x.type,
    )


def _relu(b: Builder, args: Sequence[Value], source: DType) -> Value:
    x = args[0]
    return select(b, compare(b, "lt", x, _zero(x), source), _zero(x), x)


def _neg(b: Builder, args: Sequence[Value], source: DType) -> Value:
    x = args[0]
    if source.kind == "f":
        return b.pure(f"fneg {x.type} {{0}}", x.type, x)
    return b.pure(f"sub {x.type} {{0}}, {{1}}", x.type, _zero(x), x)


def _abs(b: Builder, args: Sequence[Value], source: DType) -> Value:
    x = args[0]
    if source.kind == "f":
        return b.call(f"llvm.fabs.{suffix(x.type)}", x.type, x)
    return (
        x
        if source.kind == "u"
        else select(b, compare(b, "lt", x, _zero(x), source), _neg(b, args, source), x)
    )


def _sign(b: Builder, args: Sequence[Value], source: DType) -> Value:
    x = args[0]
    one = literal(1, source)
    one = spread(b, one) if x.is_vector else one
    above = select(b, compare(b, "gt", x, _zero(x), source), one, x)
    if source.kind == "u":
        return above
    return select(b, compare(b, "lt", x, _zero(x), source), _neg(b, [one], source), above)


def _div(b: Builder, args: Sequence[Value], source: DType) -> Value:
    word = {"f": "fdiv", "i": "sdiv", "u": "udiv"}[source.kind]
    return b.pure(f"{word} {args[0].type} {{0}}, {{1}}", args[0].type, *args)


def _extremum(op: str) -> Callable[[Builder, Sequence[Value], DType], Value]:
    def rule(b: Builder, args: Sequence[Value], source: DType) -> Value:
        return select(b, larger(b, args[0], args[1], source, op), args[0], args[1])

    return rule


def _bits(word: str) -> Callable[[Builder, Sequence[Value], DType], Value]:
    def rule(b: Builder, args: Sequence[Value], source: DType) -> Value:
        return b.pure(f"{word} {args[0].type} {{0}}, {{1}}", args[0].type, *args)

    return rule


def _not(b: Builder, args: Sequence[Value], source: DType) -> Value:
    return compare(b, "eq", args[0], _false(args[0], source), source)


def _false(x: Value, source: DType) -> Value:
    return Value("zeroinitializer" if x.is_vector else constant_text(0, source), x.type)


def _sigmoid(b: Builder, args: Sequence[Value], source: DType) -> Value:
    """One exponential of a number that is not positive, so that nothing overflows."""
    (x,) = args
    small = emit(b, "exp", [_neg(b, [_abs(b, [x], source)], source)], source, source)
    one = spread(b, literal(1.0, source)) if x.is_vector else literal(1.0, source)
    zero = spread(b, literal(0.0, source)) if x.is_vector else literal(0.0, source)
    above = select(b, compare(b, "lt", x, zero, source), small, one)
    return _div(b, [above, emit(b, "add", [one, small], source, source)], source)


def _gelu(b: Builder, args: Sequence[Value], source: DType) -> Value:
    """Our own polynomials in float32 lanes; elsewhere as the table says it."""
    (x,) = args
    if x.type == vector_of("float"):
        return APPROXIMATIONS["gelu"](b, x)
    return emit(b, "mul", [x, _normal_mass(b, x, source)], source, source)


def _gelu_slope(b: Builder, args: Sequence[Value], source: DType) -> Value:
    (x,) = args
    if x.type == vector_of("float"):
        return APPROXIMATIONS["gelu_slope"](b, x)

    def times(y: Value, z: Value) -> Value:
        return emit(b, "mul", [y, z], source, source)

    power = times(times(x, x), literal(-0.5, source))
    density = times(emit(b, "exp", [power], source, source), literal(NORMAL, source))
    return emit(b, "add", [_normal_mass(b, x, source), times(x, density)], source, source)


def _normal_mass(b: Builder, x: Value, source: DType) -> Value:
    inner = emit(b, "mul", [x, literal(math.sqrt(0.5), source)], source, source)
    more = emit(
        b, "add", [emit(b, "erf", [inner], source, source), literal(1.0, source)], source, source
    )
    return emit(b, "mul", [more, literal(0.5, source)], source, source)


_RULES: dict[str, Callable[[Builder, Sequence[Value], DType], Value]] = {
    "relu": _relu,
    "sigmoid": _sigmoid,
    "gelu": _gelu,
    "gelu_slope": _gelu_slope,
    "neg": _neg,
    "abs": _abs,
    "sign": _sign,
    "div": _div,
    "maximum": _extremum("gt"),
    "minimum": _extremum("lt"),
    "and": _bits("and"),
    "or": _bits("or"),
    "xor": _bits("xor"),
    "not": _not,
}
