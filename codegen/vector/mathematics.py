"""A float32 vector in, a transcendental function of every lane out, by our own polynomials.

Errors are in units in the last place (ulp), the worst over 1.3 million float32 of the whole range
on a CPU with fused multiply-add (tests/codegen/test_mathematics.py measures them again and holds
every target to 1.5, tanh, erf and angles to 2). What has no polynomial here is computed in float64
(doubles.py).
Infinities, NaN, denormals and overflow behave as in IEEE libraries. Coefficients: minimax fits on
the reduced range (Cephes single precision, S. Moshier).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

from codegen.native import host
from codegen.vector.builder import LANES, Builder, Value, vector_of
from codegen.vector.doubles import SINGLES, guarded

V = vector_of("float")
INT = vector_of("i32")
M = vector_of("i1")
HALF_PI = (1.5707963705062866, -4.371139000186241e-08, -1.7151245100058819e-15)  # its parts
NEAR = 8192.0  # radians below which float32 parts of pi/2 are enough


def _f(value: float) -> Value:
    single = struct.unpack("<f", struct.pack("<f", value))[0]
    bits = f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"
    return Value(f"<{', '.join([f'float {bits}'] * LANES)}>", V)


def _i(value: int) -> Value:
    return Value(f"<{', '.join([f'i32 {value}'] * LANES)}>", INT)


def _fma(b: Builder, x: Value, y: Value, z: Value) -> Value:
    return b.call("llvm.fmuladd.v16f32", V, x, y, z)


def _op(b: Builder, word: str, x: Value, y: Value) -> Value:
    return b.pure(f"{word} {x.type} {{0}}, {{1}}", x.type, x, y)


def _choose(b: Builder, test: str, x: Value, y: Value, yes: Value, no: Value) -> Value:
    flag = b.pure(f"fcmp {test} {V} {{0}}, {{1}}", M, x, y)
    return b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, flag, yes, no)


def _horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    total = _f(coefficients[0])
    for coefficient in coefficients[1:]:
        total = _fma(b, total, x, _f(coefficient))
    return total


ROUND = _f(12582912.0)  # adding it rounds to whole numbers, and leaves them in the low bits


def _power_of_two(b: Builder, n: Value) -> Value:
    """``2**n`` for an integer vector in the normal range."""
    bits = _op(b, "shl", _op(b, "add", n, _i(127)), _i(23))
    return b.pure(f"bitcast {INT} {{0}} to {V}", V, bits)


def _reduced(b: Builder, x: Value) -> tuple[Value, Value]:
    """A whole ``n`` and ``e**r - 1`` with ``x = n*log(2) + r``, for ``x`` within -105 and 89."""
    low = _choose(b, "olt", x, _f(-105.0), _f(-105.0), x)
    inside = _choose(b, "ogt", low, _f(89.0), _f(89.0), low)
    n = _op(b, "fsub", _fma(b, inside, _f(1.44269504088896341), ROUND), ROUND)
    r = _fma(b, n, _f(-0.693359375), inside)
    r = _fma(b, n, _f(2.12194440e-4), r)
    p = _horner(
        b,
        r,
        (
            1.9875691500e-4,
            1.3981999507e-3,
            8.3334519073e-3,
            4.1665795894e-2,
            1.6666665459e-1,
            5.0000001201e-1,
        ),
    )
    return n, _fma(b, _op(b, "fmul", r, r), p, r)


def _integer(b: Builder, n: Value) -> Value:
    """A whole number as int32, NaN as 0."""
    safe = _choose(b, "uno", n, n, _f(0.0), n)
    return b.pure(f"fptosi {V} {{0}} to {INT}", INT, safe)


def _scaled(b: Builder, y: Value, n: Value) -> Value:
    """``y * 2**n`` with overflow and gradual underflow: an instruction of AVX-512, or two steps."""
    if host().vector_bits == 512:
        name, mask = "llvm.x86.avx512.mask.scalef.ps.512", Value("-1", "i16")
        return b.call(name, V, y, n, y, mask, Value("4", "i32"))
    whole = _integer(b, n)
    half = _op(b, "ashr", whole, _i(1))
    y = _op(b, "fmul", y, _power_of_two(b, half))
    return _op(b, "fmul", y, _power_of_two(b, _op(b, "sub", whole, half)))


def exp(b: Builder, x: Value) -> Value:
    """``e**x``, 0.97 ulp; overflow gives infinity, underflow goes gradually to zero."""
    n, p = _reduced(b, x)
    return _scaled(b, _op(b, "fadd", p, _f(1.0)), n)


def expm1(b: Builder, x: Value) -> Value:
    """``e**x - 1``, 1.39 ulp; near zero ``x`` itself."""
    low = _choose(b, "olt", x, _f(-20.0), _f(-20.0), x)
    n, p = _reduced(b, low)
    whole = _integer(b, n)
    scale = _power_of_two(b, _op(b, "sub", whole, _i(1)))  # half of it: 2**128 is no float32
    y = _fma(b, scale, p, _op(b, "fsub", scale, _f(0.5)))
    y = _op(b, "fadd", y, y)
    none = b.pure(f"icmp eq {INT} {{0}}, zeroinitializer", M, whole)
    near = _choose(b, "oeq", x, _f(0.0), x, p)  # -0 stays -0
    near = _choose(b, "uno", x, x, x, near)
    return b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, none, near, y)


def log(b: Builder, x: Value, lost: Value | None = None) -> Value:
    """Natural logarithm of ``x + lost``, 0.82 ulp; log(0) is -inf, of negative numbers NaN."""
    tiny = b.pure(f"fcmp olt {V} {{0}}, {{1}}", M, x, _f(1.17549435e-38))
    scaled = _op(b, "fmul", x, _f(8388608.0))
    normal = b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, tiny, scaled, x)
    bits = b.pure(f"bitcast {V} {{0}} to {INT}", INT, normal)
    moved = _op(b, "sub", bits, _i(0x3F3504F3))  # so that the mantissa lies in [sqrt(1/2), sqrt 2)
    exponent = _op(b, "ashr", moved, _i(23))
    mantissa = _op(b, "add", _op(b, "and", moved, _i(0x007FFFFF)), _i(0x3F3504F3))
    m = _op(b, "fsub", b.pure(f"bitcast {INT} {{0}} to {V}", V, mantissa), _f(1.0))
    if lost is not None:
        unit = _power_of_two(b, _op(b, "sub", _i(0), exponent))
        m = _choose(b, "oeq", lost, _f(0.0), m, _fma(b, lost, unit, m))
    e = b.pure(f"sitofp {INT} {{0}} to {V}", V, exponent)
    shift = b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, tiny, _f(-23.0), _f(0.0))
    e = _op(b, "fadd", e, shift)
    square = _op(b, "fmul", m, m)
    p = _horner(
        b,
        m,
        (
            7.0376836292e-2,
            -1.1514610310e-1,
            1.1676998740e-1,
            -1.2420140846e-1,
            1.4249322787e-1,
            -1.6668057665e-1,
            2.0000714765e-1,
            -2.4999993993e-1,
            3.3333331174e-1,
        ),
    )
    y = _op(b, "fmul", _op(b, "fmul", m, square), p)
    y = _fma(b, e, _f(-2.12194440e-4), y)
    y = _fma(b, square, _f(-0.5), y)
    y = _fma(b, e, _f(0.693359375), _op(b, "fadd", m, y))
    y = _choose(b, "oeq", x, _f(float("inf")), x, y)
    y = _choose(b, "oeq", x, _f(0.0), _f(float("-inf")), y)
    return _choose(b, "ult", x, _f(0.0), _f(float("nan")), y)


def log1p(b: Builder, x: Value) -> Value:
    """``log(1 + x)``, 1.29 ulp: what ``1 + x`` rounds off is added to the mantissa."""
    u = _op(b, "fadd", x, _f(1.0))
    lost = _op(b, "fsub", x, _op(b, "fsub", u, _f(1.0)))
    lost = _choose(b, "olt", x, _f(2.0**24), lost, _f(0.0))
    y = log(b, u, lost)
    return _choose(b, "oeq", x, _f(0.0), x, y)  # -0 stays -0


def tanh(b: Builder, x: Value) -> Value:
    """Hyperbolic tangent, 1.21 ulp: a polynomial near zero, ``1 - 2/(e**2x + 1)`` elsewhere."""
    size = b.call("llvm.fabs.v16f32", V, x)
    square = _op(b, "fmul", x, x)
    p = _horner(
        b,
        square,
        (
            -5.70498872745e-3,
            2.06390887954e-2,
            -5.37397155531e-2,
            1.33314422036e-1,
            -3.33332819422e-1,
        ),
    )
    near = _fma(b, _op(b, "fmul", p, square), x, x)
    grown = _op(b, "fadd", exp(b, _op(b, "fadd", size, size)), _f(1.0))
    far = _op(b, "fsub", _f(1.0), _op(b, "fdiv", _f(2.0), grown))
    chosen = _choose(b, "olt", size, _f(0.625), near, far)
    return b.call("llvm.copysign.v16f32", V, chosen, x)


def erf(b: Builder, x: Value) -> Value:
    """The error function, 1.2 ulp: a polynomial near zero, ``1 - e**-p(|x|)`` elsewhere.

    Coefficients: N. Juffa's minimax fits for single precision, split at 0.9277.
    """
    size = b.call("llvm.fabs.v16f32", V, x)
    square = _op(b, "fmul", x, x)
    upper = _horner(b, size, (-1.72853470e-5, 3.83197126e-4))
    lower = _horner(b, size, (-3.88396438e-3, 2.42546219e-2))
    p = _fma(b, upper, square, lower)
    for coefficient in (-1.06777877e-1, -6.34846687e-1, -1.28717512e-1):
        p = _fma(b, p, size, _f(coefficient))
    far = _op(b, "fsub", _f(1.0), exp(b, _fma(b, p, size, b.pure(f"fneg {V} {{0}}", V, size))))
    q = _horner(
        b,
        square,
        (
            -5.96761703e-4,
            4.99119423e-3,
            -2.67681349e-2,
            1.12819925e-1,
            -3.76125336e-1,
            1.28379166e-1,
        ),
    )
    near = _fma(b, q, x, x)
    chosen = _choose(b, "olt", size, _f(0.927734375), near, far)
    return b.call("llvm.copysign.v16f32", V, chosen, x)


def _normal(b: Builder, x: Value) -> tuple[Value, Value]:
    """``e**(-x*x/2)`` and the normal distribution's mass below ``x``.

    The mass is within 1e-7, and within 3e-6 of itself where it is small.

    The mass beyond ``|x|`` is the exponential times a polynomial, a minimax fit for both bounds up
    to 5.5; from 13.2 on both values are 0.
    """
    size = b.call("llvm.fabs.v16f32", V, x)
    square = _op(b, "fmul", x, x)
    whole = _fma(b, square, _f(-0.5 / math.log(2)), ROUND)
    rest = _fma(b, square, _f(-0.5 / math.log(2)), _op(b, "fsub", ROUND, whole))
    p = _horner(
        b,
        rest,
        (
            1.5345822e-4,
            1.33999356e-3,
            9.61848896e-3,
            5.55032877e-2,
            2.40226469e-1,
            6.93147206e-1,
            1.0,
        ),
    )
    power = _op(b, "shl", b.pure(f"bitcast {V} {{0}} to {INT}", INT, whole), _i(23))
    bits = _op(b, "add", b.pure(f"bitcast {V} {{0}} to {INT}", INT, p), power)
    grown = b.pure(f"bitcast {INT} {{0}} to {V}", V, bits)
    exponential = _choose(b, "olt", size, _f(13.2), grown, _f(0.0))
    near = _op(b, "fsub", _choose(b, "olt", size, _f(5.5), size, _f(5.5)), _f(2.0))
    q = _horner(
        b,
        near,
        (
            -2.164733725606993e-9,
            2.9771275222856275e-8,
            -1.6282338322071155e-7,
            5.17495209351182e-7,
            -1.756875235514599e-6,
            8.496028385707177e-6,
            -3.796172313741408e-5,
            1.4751710114069283e-4,
            -5.488960887305439e-4,
            1.973753562197089e-3,
            -6.705549079924822e-3,
            2.13138610124588e-2,
            -6.273787468671799e-2,
            1.6810190677642822e-1,
        ),
    )
    beyond = _op(b, "fmul", exponential, q)
    below = _choose(b, "olt", x, _f(0.0), beyond, _op(b, "fsub", _f(1.0), beyond))
    return exponential, below


def gelu(b: Builder, x: Value) -> Value:
    """``x`` times the normal distribution's mass below it: within 2.5 ulp of ``x``."""
    return _op(b, "fmul", x, _normal(b, x)[1])


def gelu_slope(b: Builder, x: Value) -> Value:
    """The derivative of ``gelu``, within 3e-7; beside ``gelu`` of the same ``x`` three more
    instructions."""
    exponential, below = _normal(b, x)
    density = _op(b, "fmul", exponential, _f(1 / math.sqrt(2 * math.pi)))
    return _fma(b, x, density, below)


def _turned(quarters: int) -> Callable[[Builder, Value], Value]:
    """``sin(x + quarters * pi/2)`` for ``|x| < NEAR``, 1.55 ulp."""

    def rule(b: Builder, x: Value) -> Value:
        inside = _choose(b, "olt", b.call("llvm.fabs.v16f32", V, x), _f(NEAR), x, _f(0.0))
        n = b.call("llvm.rint.v16f32", V, _op(b, "fmul", inside, _f(2 / math.pi)))
        r = inside
        for part in HALF_PI:
            r = _fma(b, n, _f(-part), r)
        z = _op(b, "fmul", r, r)
        p = _horner(b, z, (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
        sine = _fma(b, _op(b, "fmul", p, z), r, r)
        q = _horner(b, z, (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
        cosine = _fma(b, _op(b, "fmul", q, z), z, _fma(b, z, _f(-0.5), _f(1.0)))
        whole = b.pure(f"fptosi {V} {{0}} to {INT}", INT, n)
        turn = _op(b, "add", whole, _i(quarters))
        odd, back = (
            b.pure(f"icmp ne {INT} {{0}}, zeroinitializer", M, _op(b, "and", turn, _i(bit)))
            for bit in (1, 2)
        )
        y = b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, odd, cosine, sine)
        minus = b.pure(f"fneg {V} {{0}}", V, y)
        y = b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, back, minus, y)
        y = y if quarters else _choose(b, "oeq", x, _f(0.0), x, y)  # -0 stays -0
        return _choose(b, "uno", x, x, x, y)

    return rule


APPROXIMATIONS: dict[str, Callable[..., Value]] = {
    "exp": exp,
    "log": log,
    "tanh": tanh,
    "erf": erf,
    "gelu": gelu,
    "gelu_slope": gelu_slope,
    "expm1": expm1,
    "log1p": log1p,
    "sin": guarded("sin_f32", V, _turned(0), NEAR, SINGLES["sin"]),
    "cos": guarded("cos_f32", V, _turned(1), NEAR, SINGLES["cos"]),
    "pow": SINGLES["pow"],
}
