"""Bit patterns in, ulp out: our own exp, log, tanh and erf over the whole range of float32.

Every 4096th bit pattern of both signs, the neighbourhood of every seam of the approximations, and
the special values. The bounds are those that ``codegen/vector/mathematics.py`` states.
"""

import math

import numpy as np
import pytest

from codegen import compile_graph
from ir import make
from ir.graph import Graph
from ir.types import F32, TensorType

BOUNDS = {"exp": 1.5, "log": 1.5, "tanh": 2.0, "erf": 2.0}
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
)
EXACT = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "erf": np.vectorize(math.erf)}
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


@pytest.mark.parametrize("name", ["exp", "tanh"])
def test_zero_and_sign(name):
    values = np.array([0.0, -0.0] * 8, np.float32)
    x = make.input_node(TensorType(F32, values.shape), "x")
    (found,) = compile_graph(Graph((x,), (make.apply(name, x),))).run([values])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(getattr(np, name)(values)))
