"""Bit patterns in, ulp out: our own transcendental functions over the whole range of their dtype.

Every 4096th bit pattern of both signs (float64: a million of all magnitudes), the neighbourhood of
every seam of the approximations, and the special values. The bounds are those that
``codegen/vector/mathematics.py`` and ``doubles.py`` state.
"""

import math

import numpy as np
import pytest

from codegen import compile_graph
from ir import make
from ir.graph import Graph
from ir.ops import OPS
from ir.types import F32, F64, TensorType

BOUNDS = {"exp": 1.5, "log": 1.5, "tanh": 2.0, "erf": 2.0}
BOUNDS |= {"expm1": 1.5, "log1p": 1.5, "sin": 2.0, "cos": 2.0}
DOUBLE_BOUNDS = {"exp": 1.5, "expm1": 2.0, "log": 1.0, "log1p": 1.0, "tanh": 3.0}
DOUBLE_BOUNDS |= {"sin": 1.0, "cos": 1.0}
POW_BOUND, ERF_BOUND = 1.5, 1.5
SEAMS = (
    0.0,
    0.3466,
    0.625,
    0.70710678,
    0.9277,
    3.9,
    1.0,
    1.41421356,
    9.01,
    87.3,
    88.72,
    88.73,
    103.0,
    103.98,
    2.0**-26,
    math.pi / 2,
    math.pi,
    355.0,
    8192.0,
    2.0**20,
)
ERF_SEAMS = (2.0**-28, 0.84375, 1.25, 1 / 0.35, 5.9, 6.0)
EXACT = {name: getattr(np, name, None) for name in BOUNDS} | {"erf": np.vectorize(math.erf)}
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38)


def samples() -> np.ndarray:
    every = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32)
    steps = np.arange(-600, 600, dtype=np.int64)
    near = [np.float32(seam).view(np.uint32).astype(np.int64) + steps for seam in SEAMS]
    around = np.concatenate(near).clip(0, 2**31 - 1).astype(np.uint32)
    dense = np.linspace(-110, 110, 2**18, dtype=np.float32).view(np.uint32)
    bits = np.concatenate([every, around, around | np.uint32(1 << 31), dense])
    return np.concatenate([bits.view(np.float32), np.array(SPECIAL, np.float32)])


def ulps(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The distance in units of the exact result's last place (denormals count alike)."""
    smallest = np.float64(np.finfo(np.float32).smallest_subnormal)
    _, exponent = np.frexp(exact)
    return np.abs(found.astype(np.float64) - exact) / np.maximum(2.0 ** (exponent - 24), smallest)


@pytest.mark.parametrize("name", BOUNDS)
def test_error_over_the_whole_range(name):
    values = samples()
    x = make.input_node(TensorType(F32, values.shape), "x")
    (found,) = compile_graph(Graph((x,), (make.apply(name, x),))).run([values])
    with np.errstate(all="ignore"):
        exact = EXACT[name](values.astype(np.float64))
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    infinite = np.isinf(rounded) | np.isinf(found)
    np.testing.assert_array_equal(found[infinite], rounded[infinite])
    sound = np.isfinite(rounded)
    error = ulps(found[sound], exact[sound])
    worst = int(error.argmax())
    assert error[worst] <= BOUNDS[name], f"{name}({values[sound][worst]!r}): {error[worst]:.2f} ulp"


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", ["exp", "tanh", "expm1", "log1p", "sin", "cos"])
def test_zero_and_sign(name, dtype):
    values = np.array([0.0, -0.0] * 8, dtype)
    x = make.input_node(TensorType(dtype, values.shape), "x")
    (found,) = compile_graph(Graph((x,), (make.apply(name, x),))).run([values])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(getattr(np, name)(values)))


def doubles() -> np.ndarray:
    rng = np.random.default_rng(0)
    every = rng.integers(0, 2**64, 2**19, dtype=np.uint64, endpoint=False)
    steps = np.arange(-300, 300, dtype=np.int64)
    seams = (*SEAMS, 2.0**-54, 709.78, 745.1, 40.0)
    near = np.concatenate([np.float64(seam).view(np.int64) + steps for seam in seams])
    near = near.clip(0).astype(np.uint64)
    spread = [rng.uniform(-reach, reach, 2**17) for reach in (1e-3, 1.0, 40.0, 750.0, 1e5)]
    bits = np.concatenate([every, near, near | np.uint64(1 << 63)])
    special = np.array([*SPECIAL, 5e-324, -5e-324, 1.7e308, -1.7e308])
    return np.concatenate([bits.view(np.float64), *spread, special])


@pytest.mark.parametrize("name", DOUBLE_BOUNDS)
def test_error_in_float64(name):
    """Against long double, which has eleven more bits on x86; elsewhere the bound has no room."""
    if np.finfo(np.longdouble).nmant < 60:
        pytest.skip("long double is no wider than float64 here")
    values = doubles()
    x = make.input_node(TensorType(F64, values.shape), "x")
    (found,) = compile_graph(Graph((x,), (make.apply(name, x),))).run([values])
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(values.astype(np.longdouble))
        rounded = exact.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    infinite = np.isinf(rounded) | np.isinf(found)
    np.testing.assert_array_equal(found[infinite], rounded[infinite])
    sound = np.isfinite(rounded)
    _, exponent = np.frexp(exact[sound])
    unit = np.maximum(np.ldexp(np.longdouble(1), exponent - 53), np.longdouble(2) ** -1074)
    error = np.abs(found[sound].astype(np.longdouble) - exact[sound]) / unit
    worst = int(error.argmax())
    assert error[worst] <= DOUBLE_BOUNDS[name], f"{name}({values[sound][worst]!r}): {error[worst]}"


def test_pow_over_the_whole_range():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (2, 2**19), dtype=np.uint64).astype(np.uint32)
    a, b = bits.view(np.float32)
    near = rng.uniform(-20, 20, (2, 2**18)).astype(np.float32)
    whole = np.stack([near[0], np.rint(near[1])])
    special = np.array([*SPECIAL, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5], np.float32)
    pairs = np.stack([part.ravel() for part in np.meshgrid(special, special)])
    x, y = np.concatenate([np.stack([a, b]), near, whole, pairs], axis=1)
    first, second = (make.input_node(TensorType(F32, x.shape), name) for name in "xy")
    graph = Graph((first, second), (make.apply("pow", first, second),))
    (found,) = compile_graph(graph).run([x, y])
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    special = ~np.isfinite(rounded) | ~np.isfinite(found) | (rounded == 0)
    sound = ~np.isnan(rounded) & special
    np.testing.assert_array_equal(found[sound], rounded[sound])
    np.testing.assert_array_equal(np.signbit(found[sound]), np.signbit(rounded[sound]))
    error = ulps(found[~special], exact[~special])
    worst = int(error.argmax())
    at = x[~special][worst], y[~special][worst]
    assert error[worst] <= 0.51, f"pow{at}: {error[worst]:.3f} ulp"


@pytest.mark.parametrize(("name", "bound"), [("gelu", 2.5), ("gelu_slope", 5.0)])
def test_gelu_over_the_whole_range(name, bound):
    """Against float64, in units of the last place of ``x`` (of 1 for the slope)."""
    values = samples()
    x = make.input_node(TensorType(F32, values.shape), "x")
    (found,) = compile_graph(Graph((x,), (make.apply(name, x),))).run([values])
    with np.errstate(all="ignore"):
        exact = OPS[name].evaluate(values.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    sound = np.isfinite(exact) & (np.abs(exact) < 3.4e38)
    scale = values if name == "gelu" else np.ones_like(values)
    unit = 2.0 ** (np.frexp(scale[sound].astype(np.float64))[1] - 24.0)
    error = np.abs(found[sound] - exact[sound]) / np.maximum(unit, 2.0**-149)
    worst = int(error.argmax())
    assert error[worst] <= bound, f"{name}({values[sound][worst]!r}): {error[worst]:.2f} ulp"


def run64(name: str, *arrays: np.ndarray) -> np.ndarray:
    """A float64 op on vectors."""
    inputs = tuple(
        make.input_node(TensorType(F64, a.shape), f"x{at}") for at, a in enumerate(arrays)
    )
    (found,) = compile_graph(Graph(inputs, (make.apply(name, *inputs),))).run(list(arrays))
    return found


def worst(found: np.ndarray, exact: np.ndarray, *arrays: np.ndarray) -> tuple[float, object]:
    """The largest error in ulp of what is finite, and where; ``exact`` is long double."""
    rounded = exact.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    ends = np.isinf(rounded) | np.isinf(found) | (rounded == 0)
    edge = ends & (np.abs(exact) > np.finfo(np.float64).max / 1.001)  # it may round either way
    np.testing.assert_array_equal(found[ends & ~edge], rounded[ends & ~edge])
    np.testing.assert_array_equal(np.signbit(found[ends]), np.signbit(rounded[ends]))
    sound = np.isfinite(rounded) & np.isfinite(found)
    _, exponent = np.frexp(exact[sound])
    unit = np.maximum(np.ldexp(np.longdouble(1), exponent - 53), np.longdouble(2) ** -1074)
    error = np.abs(found[sound].astype(np.longdouble) - exact[sound]) / unit
    at = int(error.argmax())
    return float(error[at]), tuple(array[sound][at] for array in arrays)


def test_erf_in_float64():
    """Against the C library's, which is within an ulp of the truth itself."""
    rng = np.random.default_rng(0)
    seams = np.concatenate([np.float64(s).view(np.int64) + np.arange(-300, 300) for s in ERF_SEAMS])
    spread = [rng.uniform(-reach, reach, 2**16) for reach in (1e-3, 1.0, 3.0, 7.0, 1e3)]
    special = np.array([*SPECIAL, 5e-324, -5e-324, 1e-310, 1.7e308])
    x = np.concatenate([seams.view(np.float64), -seams.view(np.float64), *spread, special])
    exact = np.vectorize(math.erf, otypes=[np.float64])(x)
    error, where = worst(run64("erf", x), exact.astype(np.longdouble), x)
    print(f"erf, float64: {error:.3f} ulp at {where}")
    assert error <= ERF_BOUND, f"erf{where}: {error:.3f} ulp"
    found = run64("erf", np.array([0.0, -0.0] * 8))
    np.testing.assert_array_equal(np.signbit(found), [False, True] * 8)


def test_pow_in_float64():
    """Against the C library's power of long doubles; far exponents, bases near one, denormals."""
    if np.finfo(np.longdouble).nmant < 60:
        pytest.skip("long double is no wider than float64 here")
    rng = np.random.default_rng(0)
    every = rng.integers(0, 2**64, (2, 2**17), dtype=np.uint64, endpoint=False).view(np.float64)
    near = np.stack([rng.uniform(0, 20, 2**17), rng.uniform(-200, 200, 2**17)])
    whole = np.stack([rng.uniform(-20, 20, 2**16), np.rint(rng.uniform(-200, 200, 2**16))])
    one = np.stack([1 + rng.uniform(-1e-6, 1e-6, 2**16), rng.uniform(-6e8, 6e8, 2**16)])
    ends = np.stack([rng.uniform(0, 1e-300, 2**14), rng.uniform(-1, 1.05, 2**14)])
    special = np.array([*SPECIAL, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 5e-324, 2.0**60])
    pairs = np.stack([part.ravel() for part in np.meshgrid(special, special)])
    x, y = np.concatenate([every, near, whole, one, ends, pairs], axis=1)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
        error, where = worst(run64("pow", x, y), exact, x, y)
    assert error <= POW_BOUND, f"pow{where}: {error:.3f} ulp"
    print(f"pow, float64: {error:.3f} ulp at {where}")
