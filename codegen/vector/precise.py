"""A float64 vector in, erf or pow of every lane out: what needs more than one formula or number.

``erf`` chooses among fdlibm's rational fits (Sun Microsystems, 1993). ``pow`` is the exponential of
a product that is carried in two numbers, a rounded one and what the rounding lost: a logarithm of
53 bits would leave ten of them wrong at large exponents. Worst errors in units in the last place
(ulp) stand with each; tests/codegen/test_mathematics.py measures them again.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

from codegen.vector.builder import Builder, Value
from codegen.vector.doubles import (
    INT,
    LN2_HIGH,
    LN2_LOW,
    LONG,
    M,
    Rule,
    V,
    constant,
    exp,
    integer,
    long_constant,
    power_of_two,
    reduced,
    signed_power,
)

# erf(x) = x + x * P(x**2) / Q(x**2) below 0.84375, 0.845... + P(|x| - 1) / Q(|x| - 1) below 1.25,
# and 1 - exp(-x**2 - 0.5625 + P(x**-2) / Q(x**-2)) / |x| below and above 1 / 0.35
_NEAR = (
    (
        -2.37630166566501626084e-05,
        -5.77027029648944159157e-03,
        -2.84817495755985104766e-02,
        -3.25042107247001499370e-01,
        1.28379167095512558561e-01,
    ),
    (
        -3.96022827877536812320e-06,
        1.32494738004321644526e-04,
        5.08130628187576562776e-03,
        6.50222499887672944485e-02,
        3.97917223959155352819e-01,
        1.0,
    ),
)
_ONE = 8.45062911510467529297e-01
_MIDDLE = (
    (
        -2.16637559486879084300e-03,
        3.54783043256182359371e-02,
        -1.10894694282396677476e-01,
        3.18346619901161753674e-01,
        -3.72207876035701323847e-01,
        4.14856118683748331666e-01,
        -2.36211856075265944077e-03,
    ),
    (
        1.19844998467991074170e-02,
        1.36370839120290507362e-02,
        1.26171219808761642112e-01,
        7.18286544141962662868e-02,
        5.40397917702171048937e-01,
        1.06420880400844228286e-01,
        1.0,
    ),
)
_FAR = (
    (
        -9.81432934416914548592e00,
        -8.12874355063065934246e01,
        -1.84605092906711035994e02,
        -1.62396669462573470355e02,
        -6.23753324503260060396e01,
        -1.05586262253232909814e01,
        -6.93858572707181764372e-01,
        -9.86494403484714822705e-03,
    ),
    (
        -6.04244152148580987438e-02,
        6.57024977031928170135e00,
        1.08635005541779435134e02,
        4.29008140027567833386e02,
        6.45387271733267880336e02,
        4.34565877475229228821e02,
        1.37657754143519042600e02,
        1.96512716674392571292e01,
        1.0,
    ),
)
_FARTHEST = (
    (
        -4.83519191608651397019e02,
        -1.02509513161107724954e03,
        -6.37566443368389627722e02,
        -1.60636384855821916062e02,
        -1.77579549177547519889e01,
        -7.99283237680523006574e-01,
        -9.86494292470009928597e-03,
    ),
    (
        -2.24409524465858183362e01,
        4.74528541206955367215e02,
        2.55305040643316442583e03,
        3.19985821950859553908e03,
        1.53672958608443695994e03,
        3.25792512996573918826e02,
        3.03380607434824582924e01,
        1.0,
    ),
)
# of 2 * atanh(s) = 2s + s**3 * (2/3 + s**2 * (2/5 + s**2 * (2/7 + ...))), the part after 2/3
_ATANH = tuple(2 / (2 * k + 1) for k in range(12, 1, -1))
TWO_THIRDS = (2 / 3, 2 / 3 * 2.0**-54)  # 2/3 rounds down; what is lost


class Pair(NamedTuple):
    """A number as the sum of a rounded one and a much smaller one."""

    high: Value
    low: Value


class Numbers:
    """Arithmetic on float64 vectors, written as short as formulas need it."""

    def __init__(self, b: Builder) -> None:
        self.b = b

    def op(self, word: str, x: Value, y: Value) -> Value:
        """One instruction on two vectors."""
        return self.b.pure(f"{word} {x.type} {{0}}, {{1}}", x.type, x, y)

    def add(self, x: Value, y: Value) -> Value:
        return self.op("fadd", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self.op("fsub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self.op("fmul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        return self.op("fdiv", x, y)

    def neg(self, x: Value) -> Value:
        return self.b.pure(f"fneg {V} {{0}}", V, x)

    def abs(self, x: Value) -> Value:
        return self.b.call("llvm.fabs.v16f64", V, x)

    def fused(self, x: Value, y: Value, z: Value) -> Value:
        """``x * y + z``, rounded once on every target."""
        return self.b.call("llvm.fma.v16f64", V, x, y, z)

    def choose(self, test: str, x: Value, y: Value, yes: Value, no: Value) -> Value:
        """``yes`` where the comparison holds."""
        flag = self.b.pure(f"fcmp {test} {V} {{0}}, {{1}}", M, x, y)
        return self.b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, flag, yes, no)

    def horner(self, x: Value, coefficients: Sequence[float]) -> Value:
        """The polynomial, its highest coefficient first."""
        total = constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.b.call("llvm.fmuladd.v16f64", V, total, x, constant(coefficient))
        return total

    def exact_sum(self, x: Value, y: Value) -> Pair:
        """``x + y`` and what rounding it lost, for ``|x| >= |y|`` or ``x`` zero."""
        high = self.add(x, y)
        return Pair(high, self.sub(y, self.sub(high, x)))

    def exact_product(self, x: Value, y: Value) -> Pair:
        """``x * y`` and what rounding it lost."""
        high = self.mul(x, y)
        return Pair(high, self.fused(x, y, self.neg(high)))

    def product(self, x: Pair, y: Pair) -> Pair:
        """The product, to some 2**-104 of it."""
        high, low = self.exact_product(x.high, y.high)
        more = self.add(self.mul(x.high, y.low), self.mul(x.low, y.high))
        return self.exact_sum(high, self.add(low, more))


def erf(b: Builder, x: Value) -> Value:
    """The error function, within 1 ulp of the C library's."""
    n = Numbers(b)
    size = n.abs(x)
    square = n.mul(x, x)
    inverse = n.div(constant(1.0), square)
    beyond = n.sub(size, constant(1.0))
    parts = []
    for at in (0, 1):  # numerators, then denominators: one division for all ranges
        far = n.choose(
            "olt",
            size,
            constant(1 / 0.35),
            n.horner(inverse, _FAR[at]),
            n.horner(inverse, _FARTHEST[at]),
        )
        middle = n.choose("olt", size, constant(1.25), n.horner(beyond, _MIDDLE[at]), far)
        near = n.horner(square, _NEAR[at])
        parts.append(n.choose("olt", size, constant(0.84375), near, middle))
    ratio = n.div(*parts)
    inner = n.add(size, n.mul(size, ratio))
    middle = n.add(constant(_ONE), ratio)
    power = exp(b, n.sub(n.sub(ratio, constant(0.5625)), square))
    outer = n.sub(constant(1.0), n.div(power, size))
    outer = n.choose("olt", size, constant(6.0), outer, constant(1.0))
    y = n.choose("olt", size, constant(1.25), middle, outer)
    y = n.choose("olt", size, constant(0.84375), inner, y)
    y = n.choose("uno", x, x, x, y)
    return b.call("llvm.copysign.v16f64", V, y, x)


def _logarithm(n: Numbers, x: Value) -> Pair:
    """The natural logarithm of ``x`` to some 2**-66 of it; of 0 and infinity infinite."""
    b = n.b
    tiny = b.pure(f"fcmp olt {V} {{0}}, {{1}}", M, x, constant(2.0**-1022))
    scaled = n.mul(x, constant(2.0**54))
    normal = b.pure(f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, tiny, scaled, x)
    bits = b.pure(f"bitcast {V} {{0}} to {LONG}", LONG, normal)
    root = struct.unpack("<q", struct.pack("<d", math.sqrt(0.5)))[0]
    moved = n.op("sub", bits, long_constant(root))
    exponent = n.op("ashr", moved, long_constant(52))
    whole = b.pure(f"trunc {LONG} {{0}} to {INT}", INT, exponent)
    k = b.pure(f"sitofp {INT} {{0}} to {V}", V, whole)
    less = b.pure(
        f"select {M} {{0}}, {V} {{1}}, {V} {{2}}", V, tiny, constant(-54.0), constant(0.0)
    )
    k = n.add(k, less)
    kept = n.op("add", n.op("and", moved, long_constant((1 << 52) - 1)), long_constant(root))
    m = b.pure(f"bitcast {LONG} {{0}} to {V}", V, kept)
    mantissa = _of_mantissa(n, m)
    found = n.exact_sum(n.mul(k, constant(LN2_HIGH)), mantissa.high)  # the product is exact
    low = n.add(n.add(found.low, mantissa.low), n.mul(k, constant(LN2_LOW)))
    found = n.exact_sum(found.high, low)
    high = n.choose("oeq", x, constant(math.inf), x, found.high)
    high = n.choose("oeq", x, constant(0.0), constant(-math.inf), high)
    high = n.choose("uno", x, x, x, high)
    finite = n.choose("olt", n.abs(high), constant(math.inf), found.low, constant(0.0))
    return Pair(high, finite)


def _of_mantissa(n: Numbers, m: Value) -> Pair:
    """The logarithm of numbers within the root of 1/2 and that of 2: ``2 * atanh(s)``."""
    f = n.sub(m, constant(1.0))
    d = n.exact_sum(m, constant(1.0))
    d = Pair(d.high, n.sub(m, n.sub(d.high, constant(1.0))))
    s = n.div(f, d.high)
    rest = n.sub(n.fused(n.neg(s), d.high, f), n.mul(s, d.low))
    ratio = Pair(s, n.div(rest, d.high))
    square = n.product(ratio, ratio)
    tail = n.mul(square.high, n.horner(square.high, _ATANH))
    series = n.exact_sum(constant(TWO_THIRDS[0]), tail)
    series = Pair(series.high, n.add(series.low, constant(TWO_THIRDS[1])))
    cube = n.product(ratio, square)
    more = n.product(cube, series)
    twice = Pair(n.add(s, s), n.add(ratio.low, ratio.low))
    total = n.exact_sum(twice.high, more.high)
    return n.exact_sum(total.high, n.add(total.low, n.add(twice.low, more.low)))


def _power(b: Builder, size: Value, y: Value) -> Value:
    """``size**y`` for numbers that are not negative."""
    n = Numbers(b)
    high, low = _logarithm(n, size)
    product = n.exact_product(high, y)
    more = n.add(product.low, n.mul(low, y))
    near = n.choose("olt", n.abs(product.high), constant(800.0), more, constant(0.0))
    count, grown = reduced(b, product.high)
    grown = n.add(grown, n.add(near, n.mul(near, grown)))
    whole = integer(b, count)
    half = n.op("ashr", whole, Value(f"<{', '.join(['i32 1'] * 16)}>", INT))
    found = n.mul(n.add(constant(1.0), grown), power_of_two(b, half))
    found = n.mul(found, power_of_two(b, n.op("sub", whole, half)))
    return n.choose("uno", product.high, product.high, product.high, found)


def pow_(b: Builder, x: Value, y: Value) -> Value:
    """``x**y``, 1.2 ulp; special values as in C99."""
    return signed_power(b, x, y, _power)


PRECISE: dict[str, Rule] = {"erf": erf, "pow": pow_}
