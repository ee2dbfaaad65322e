"""A float64 vector in, exp, expm1, log, log1p, tanh, sin or cos of every lane out.

Float32 vectors of pow, and of sin and cos of large angles, are computed here too and rounded once.
Worst errors in units in the last place (ulp) over a dense sample stand with each function;
tests/codegen/test_mathematics.py measures them again. The formulas are those of fdlibm (Sun
Microsystems, 1993), which asks only to be named.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

from codegen.vector.builder import LANES, Builder, Value, element_of, vector_of

V, SINGLE = vector_of("double"), vector_of("float")
INT = vector_of("i32")
LONG = vector_of("i64")
M = vector_of("i1")
Rule = Callable[..., Value]

# sine and cosine on [-pi/4, pi/4], logarithm of (1 + s)/(1 - s): minimax fits of fdlibm
_SIN = (
    1.58969099521155010221e-10,
    -2.50507602534068634195e-08,
    2.75573137070700676789e-06,
    -1.98412698298579493134e-04,
    8.33333333332248946124e-03,
)
_COS = (
    -1.13596475577881948265e-11,
    2.08757232129817482790e-09,
    -2.75573143513906633035e-07,
    2.48015872894767294178e-05,
    -1.38888888888741095749e-03,
    4.16666666666666019037e-02,
)
_LOG = (
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)
_EXP = tuple(1 / math.factorial(k) for k in range(13, 1, -1))
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# pi/2 in parts of 33 bits, whose products with |n| < 2**20 are exact without fused multiply-add
HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
FAR = 2.0**20  # radians beyond which libm reduces the angle


def constant(value: float) -> Value:
    """A float64 in every lane."""
    bits = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    return Value(f"<{', '.join([f'double {bits}'] * LANES)}>", V)


def long_constant(value: int) -> Value:
    """An int64 in every lane."""
    return _i(value, LONG)


def _i(value: int, type_: str = INT) -> Value:
    return Value(f"<{', '.join([f'{element_of(type_)} {value}'] * LANES)}>", type_)


def _op(b: Builder, word: str, x: Value, y: Value) -> Value:
    return b.pure(f"{word} {x.type} {{0}}, {{1}}", x.type, x, y)


def _add(b: Builder, x: Value, y: Value) -> Value:
    return _op(b, "fadd", x, y)


def _sub(b: Builder, x: Value, y: Value) -> Value:
    return _op(b, "fsub", x, y)


def _mul(b: Builder, x: Value, y: Value) -> Value:
    return _op(b, "fmul", x, y)


def _fma(b: Builder, x: Value, y: Value, z: Value) -> Value:
    return b.call("llvm.fmuladd.v16f64", V, x, y, z)


def _abs(b: Builder, x: Value) -> Value:
    return b.call("llvm.fabs.v16f64", V, x)


def _test(b: Builder, test: str, x: Value, y: Value) -> Value:
    return b.pure(f"fcmp {test} {V} {{0}}, {{1}}", M, x, y)


def _pick(b: Builder, flag: Value, yes: Value, no: Value) -> Value:
    return b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, flag, yes, no)


def _choose(b: Builder, test: str, x: Value, y: Value, yes: Value, no: Value) -> Value:
    return _pick(b, _test(b, test, x, y), yes, no)


def _horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    total = constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = _fma(b, total, x, constant(coefficient))
    return total


def integer(b: Builder, x: Value) -> Value:
    """Whole numbers of a float vector as int32; NaN becomes 0."""
    sound = _choose(b, "uno", x, x, constant(0.0), x)
    return b.pure(f"fptosi {V} {{0}} to {INT}", INT, sound)


def power_of_two(b: Builder, n: Value) -> Value:
    """``2**n`` for an int32 vector in the normal range."""
    long = b.pure(f"sext {INT} {{0}} to {LONG}", LONG, _op(b, "add", n, _i(1023)))
    bits = _op(b, "shl", long, _i(52, LONG))
    return b.pure(f"bitcast {LONG} {{0}} to {V}", V, bits)


def reduced(b: Builder, x: Value) -> tuple[Value, Value]:
    """``n`` and ``e**r - 1`` with ``x = n*log(2) + r``; ``x`` clamped to where it is finite."""
    low = _choose(b, "olt", x, constant(-750.0), constant(-750.0), x)
    inside = _choose(b, "ogt", low, constant(710.0), constant(710.0), low)
    n = b.call("llvm.rint.v16f64", V, _mul(b, inside, constant(1.44269504088896338700)))
    r = _sub(b, inside, _mul(b, n, constant(LN2_HIGH)))
    r = _sub(b, r, _mul(b, n, constant(LN2_LOW)))
    return n, _fma(b, _mul(b, r, r), _horner(b, r, _EXP), r)


def exp(b: Builder, x: Value) -> Value:
    """``e**x``, 1 ulp; overflow gives infinity, underflow goes gradually to zero."""
    n, p = reduced(b, x)
    whole = integer(b, n)
    half = _op(b, "ashr", whole, _i(1))
    y = _mul(b, _add(b, p, constant(1.0)), power_of_two(b, half))
    return _mul(b, y, power_of_two(b, _op(b, "sub", whole, half)))


def expm1(b: Builder, x: Value) -> Value:
    """``e**x - 1``, 1.3 ulp; exact near zero, the sign of zero included."""
    n, p = reduced(b, _choose(b, "olt", x, constant(-40.0), constant(-40.0), x))
    whole = integer(b, n)
    less = _op(b, "sub", whole, _i(1))  # 2**1024 is no float64, twice 2**1023 may be
    scale = power_of_two(b, less)
    y = _fma(b, scale, p, _sub(b, scale, constant(0.5)))
    y = _add(b, y, y)
    # where nothing was taken off, the doubling above would round denormals, and lose -0
    return _choose(b, "oeq", n, constant(0.0), _choose(b, "oeq", x, constant(0.0), x, p), y)


def log(b: Builder, x: Value, more: Value | None = None) -> Value:
    """Natural logarithm, 0.9 ulp, plus the small ``more``; log(0) is -inf, of negatives NaN."""
    tiny = _test(b, "olt", x, constant(2.0**-1022))
    normal = _pick(b, tiny, _mul(b, x, constant(2.0**54)), x)
    bits = b.pure(f"bitcast {V} {{0}} to {LONG}", LONG, normal)
    # moved so that the mantissa lies in [sqrt(1/2), sqrt 2)
    root = struct.unpack("<q", struct.pack("<d", math.sqrt(0.5)))[0]
    moved = _op(b, "sub", bits, _i(root, LONG))
    high = b.pure(
        f"trunc {LONG} {{0}} to {INT}", INT, _op(b, "ashr", moved, _i(52, LONG))
    )  # int32, which every target converts in one instruction
    k = b.pure(f"sitofp {INT} {{0}} to {V}", V, high)
    k = _add(b, k, _pick(b, tiny, constant(-54.0), constant(0.0)))
    kept = _op(b, "and", moved, _i((1 << 52) - 1, LONG))
    mantissa = b.pure(f"bitcast {LONG} {{0}} to {V}", V, _op(b, "add", kept, _i(root, LONG)))
    f = _sub(b, mantissa, constant(1.0))
    s = _op(b, "fdiv", f, _add(b, f, constant(2.0)))
    z = _mul(b, s, s)
    square = _mul(b, _mul(b, f, f), constant(0.5))
    r = _mul(b, z, _horner(b, z, _LOG))
    low = _mul(b, k, constant(LN2_LOW))
    low = low if more is None else _add(b, low, more)
    tail = _sub(b, square, _fma(b, s, _add(b, square, r), low))
    y = _sub(b, _mul(b, k, constant(LN2_HIGH)), _sub(b, tail, f))
    y = _choose(b, "oeq", x, constant(math.inf), x, y)
    y = _choose(b, "oeq", x, constant(0.0), constant(-math.inf), y)
    return _choose(b, "ult", x, constant(0.0), constant(math.nan), y)


def log1p(b: Builder, x: Value) -> Value:
    """``log(1 + x)``, 0.9 ulp; what ``1 + x`` rounds off is added again."""
    u = _add(b, x, constant(1.0))
    lost = _sub(b, x, _sub(b, u, constant(1.0)))
    y = log(b, u, _op(b, "fdiv", lost, u))
    y = _choose(b, "oeq", x, constant(-1.0), constant(-math.inf), y)
    y = _choose(b, "oeq", x, constant(math.inf), x, y)
    return _choose(b, "olt", _abs(b, x), constant(2.0**-54), x, y)


def tanh(b: Builder, x: Value) -> Value:
    """Hyperbolic tangent, 2.3 ulp."""
    size = _abs(b, x)
    t = expm1(b, _mul(b, size, constant(-2.0)))
    y = _op(b, "fdiv", b.pure(f"fneg {V} {{0}}", V, t), _add(b, t, constant(2.0)))
    return b.call("llvm.copysign.v16f64", V, y, x)


def _turned(b: Builder, x: Value, quarters: int) -> Value:
    """``sin(x + quarters * pi/2)`` for ``|x| < FAR``, 0.9 ulp."""
    n = b.call("llvm.rint.v16f64", V, _mul(b, x, constant(2 / math.pi)))
    t = _sub(b, x, _mul(b, n, constant(HALF_PI[0])))
    w = _mul(b, n, constant(HALF_PI[1]))
    r = _sub(b, t, w)
    low = _sub(b, _sub(b, _sub(b, t, r), w), _mul(b, n, constant(HALF_PI[2])))
    a = _add(b, r, low)
    tail = _add(b, _sub(b, r, a), low)
    z = _mul(b, a, a)
    cube = _mul(b, z, a)
    bent = _sub(b, _mul(b, tail, constant(0.5)), _mul(b, cube, _horner(b, z, _SIN)))
    third = _mul(b, cube, constant(-1.66666666666666324348e-01))
    sine = _sub(b, a, _sub(b, _sub(b, _mul(b, z, bent), tail), third))
    half = _mul(b, z, constant(0.5))
    top = _sub(b, constant(1.0), half)
    rest = _sub(b, _sub(b, constant(1.0), top), half)
    more = _sub(b, _mul(b, z, _mul(b, z, _horner(b, z, _COS))), _mul(b, a, tail))
    cosine = _add(b, top, _add(b, rest, more))
    turn = _op(b, "add", integer(b, n), _i(quarters))
    odd, back = (
        b.pure(f"icmp ne {INT} {{0}}, zeroinitializer", M, _op(b, "and", turn, _i(bit)))
        for bit in (1, 2)
    )
    y = _pick(b, odd, cosine, sine)
    y = _pick(b, back, b.pure(f"fneg {V} {{0}}", V, y), y)
    # -0 stays -0: a sum above has made it +0
    return y if quarters else _choose(b, "oeq", x, constant(0.0), x, y)


def guarded(symbol: str, type_: str, near: Rule, limit: float, far: Rule) -> Rule:
    """A call of a function of the module: ``far`` for all lanes if one is not below ``limit``.

    Only a function may branch: kernels number their values as if none did.
    """

    def text(declared: dict[str, str]) -> str:
        b = Builder()
        x = Value("%x", type_)
        wide = b.pure(f"fpext {type_} {{0}} to {V}", V, x) if type_ != V else x
        large = _test(b, "oge", _abs(b, wide), constant(limit))
        some = b.pure("icmp ne i16 {0}, 0", "i1", b.pure(f"bitcast {M} {{0}} to i16", "i16", large))
        result = near(b, x)
        lines = b.blocks[0].lines
        ready = len(lines)
        other = far(b, x)
        declared.update(b.declared)
        body = [f"define internal {type_} @{symbol}({type_} %x) {{", "entry:"]
        body += [f"  {line}" for line in lines[:ready]]
        body += [f"  br i1 {some.name}, label %far, label %near", "near:"]
        body += [f"  ret {type_} {result.name}", "far:"]
        body += [f"  {line}" for line in lines[ready:]]
        return "\n".join([*body, f"  ret {type_} {other.name}", "}"])

    def rule(b: Builder, x: Value) -> Value:
        y = b.call(symbol, type_, x)
        b.declared[symbol] = text(b.declared)
        return y

    return rule


def _by_libm(name: str) -> Rule:
    def rule(b: Builder, x: Value) -> Value:
        element = element_of(x.type)
        y = Value("poison", x.type)
        for lane in range(LANES):
            one = b.pure(f"extractelement {x.type} {{0}}, i32 {lane}", element, x)
            one = b.call(name, element, one)
            put = f"insertelement {x.type} {{0}}, {element} {{1}}, i32 {lane}"
            y = b.pure(put, x.type, y, one)
        return y

    return rule


def _quarter(quarters: int) -> Rule:
    """``sin(x + quarters * pi/2)``; beyond FAR any number, without undefined conversions."""

    def rule(b: Builder, x: Value) -> Value:
        return _turned(
            b, _choose(b, "olt", _abs(b, x), constant(FAR), x, constant(math.nan)), quarters
        )

    return rule


def _rounded(rule: Rule) -> Rule:
    """``rule`` for float32: computed in float64, rounded once."""

    def narrow(b: Builder, *args: Value) -> Value:
        y = rule(b, *(b.pure(f"fpext {SINGLE} {{0}} to {V}", V, x) for x in args))
        return b.pure(f"fptrunc {V} {{0}} to {SINGLE}", SINGLE, y)

    return narrow


def _pow(b: Builder, x: Value, y: Value) -> Value:
    """``x**y`` of numbers that were float32, to float32's half ulp; special values as in C99."""
    return signed_power(b, x, y, lambda b, size, y: exp(b, _mul(b, log(b, size), y)))


def signed_power(b: Builder, x: Value, y: Value, power: Rule) -> Value:
    """``x**y`` by a rule for ``abs(x)**y``: signs, and the special values of C99."""
    size = _abs(b, x)
    e = power(b, size, y)
    half = _mul(b, y, constant(0.5))
    whole = _test(b, "oeq", b.call("llvm.rint.v16f64", V, y), y)
    even = _test(b, "oeq", b.call("llvm.rint.v16f64", V, half), half)
    odd = _op(b, "and", whole, _op(b, "xor", even, _i(1, M)))
    signed = _pick(b, odd, b.call("llvm.copysign.v16f64", V, e, x), e)
    endless = constant(math.inf)
    below = _op(b, "and", _test(b, "olt", x, constant(0.0)), _test(b, "une", size, endless))
    none = _op(b, "and", below, _op(b, "xor", whole, _i(1, M)))
    z = _pick(b, none, constant(math.nan), signed)
    unit = _test(b, "oeq", size, constant(1.0))
    same = _op(b, "and", unit, _test(b, "oeq", _abs(b, y), endless))
    one = _op(b, "or", _test(b, "oeq", y, constant(0.0)), _test(b, "oeq", x, constant(1.0)))
    return _pick(b, _op(b, "or", one, same), constant(1.0), z)


DOUBLES: dict[str, Rule] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sin": guarded("sin_f64", V, _quarter(0), FAR, _by_libm("sin")),
    "cos": guarded("cos_f64", V, _quarter(1), FAR, _by_libm("cos")),
}
SINGLES: dict[str, Rule] = {
    "sin": guarded("sin_wide", SINGLE, _rounded(_quarter(0)), FAR, _by_libm("sinf")),
    "cos": guarded("cos_wide", SINGLE, _rounded(_quarter(1)), FAR, _by_libm("cosf")),
    "pow": _rounded(_pow),
}
