"""A seed in, the same numbers out on every target: counter-based random tensors.

The generator's state is an ordinary u32[2] tensor (seed, counter). Every draw uses it as a key and
advances the counter, inside a trace like any other state that a step reads and writes.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import add, cos, floor, log, mul, sqrt
from engine.dispatch import apply, cast, scalar
from engine.errors import Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.placement import check
from engine.state import TensorState
from engine.storage import Value
from ir import make
from ir.dims import Size
from ir.interpret import evaluate_node
from ir.types import F32, F64, U32, DType

if TYPE_CHECKING:
    from engine.tensor import Tensor

_MIX = 0x9E3779B9


class Generator:
    """A stream of random numbers with its own seed."""

    def __init__(self, state: Tensor) -> None:
        self.state = state
        self._seed = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed`` from its beginning."""
        self._seed = seed
        low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
        key = (low ^ (high * _MIX)) & 0xFFFFFFFF
        array = np.array([key, 0], np.uint32)
        self.state._assign(self.state._plain._from_array(array).value)
        return self

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def seed(self) -> int:
        """Start the stream of a seed that nobody chose, and tell it."""
        self.manual_seed(secrets.randbits(63))
        return self._seed

    def get_state(self) -> Tensor:
        """A copy of the state (u32[2]: seed, counter)."""
        return self.state.clone()

    def set_state(self, state: Tensor) -> Generator:
        """Continue from ``state``."""
        self.state._assign(state.clone().value)
        return self

    def next_key(self) -> Tensor:
        """The key of the next draw; the counter advances."""
        key = self.state.clone()
        step = _counting((2,), self.state)
        self.state._assign(apply("add", key, step).value)
        return key


def make_generator(device: Any = "cpu") -> Generator:
    """A stream of random numbers of its own, at seed 0."""
    check({"device": device})
    return Generator(TensorState._plain._from_array(np.zeros(2, U32)))


@cache
def default_generator() -> Generator:
    """The stream that ``rand`` and the layers draw from."""
    return make_generator()


def manual_seed(seed: int) -> Generator:
    """Seed the stream that everything draws from."""
    return default_generator().manual_seed(seed)


def initial_seed() -> int:
    """The seed of the default stream."""
    return default_generator().initial_seed()


def seed() -> int:
    """Seed the default stream with a number that nobody chose, and tell it."""
    return default_generator().seed()


def get_rng_state() -> Tensor:
    """A copy of the default stream's state (u32[2]: seed, counter)."""
    return default_generator().state.clone()


def set_rng_state(state: Tensor) -> None:
    """Continue the default stream from ``state``."""
    default_generator().state._assign(state.value)


def _counting(shape: Sequence[Size], like: Tensor) -> Tensor:
    node = make.iota(shape, 0, U32)
    array = None if modes.trace is not None else evaluate_node(node, [])
    return like._plain._from_value(Value(node.type, array, node))


def random_bits(shape: Sequence[Size], generator: Generator | None = None) -> Tensor:
    """Uniform 32-bit words."""
    key = (generator or default_generator()).next_key()
    return apply("random_bits", key, shape=tuple(shape))


def uniform_values(
    shape: Sequence[Size], dtype: DType = F32, generator: Generator | None = None
) -> Tensor:
    """Uniform in [0, 1), multiples of 2**-24 (of 2**-32 in float64)."""
    bits = random_bits(shape, generator)
    if dtype == F64:
        return mul(cast(bits, F64), 2.0**-32)
    mask = scalar(bits, 0xFFFFFF, U32, tuple(shape))
    return cast(mul(cast(apply("and", bits, mask), F32), 2.0**-24), dtype)


def normal_values(
    shape: Sequence[Size], dtype: DType = F32, generator: Generator | None = None
) -> Tensor:
    """Standard normal, by Box and Muller's transform of two uniforms."""
    radius = uniform_values(shape, dtype, generator)
    angle = uniform_values(shape, dtype, generator)
    length = sqrt(mul(log(add(mul(radius, -1.0), 1.0)), -2.0))
    return mul(length, cos(mul(angle, 2.0 * math.pi)))


def integer_values(
    low: int, high: int, shape: Sequence[Size], dtype: Any, generator: Generator | None = None
) -> Tensor:
    """Uniform integers in [low, high)."""
    drawn = uniform_values(shape, F64, generator)
    return cast(add(floor(mul(drawn, float(high - low))), float(low)), dtype)


def permutation(count: int, generator: Generator | None = None) -> np.ndarray[Any, Any]:
    """A random order of ``range(count)``, as an int64 array."""
    if modes.trace is not None:
        raise Unsupported(
            message(user_location(), "randperm inside jit", "draw it outside and pass it in")
        )
    bits = random_bits((count, 2), generator).value.array
    assert bits is not None
    words = bits.astype(np.uint64)
    return np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")
