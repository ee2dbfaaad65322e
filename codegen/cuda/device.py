"""What generated kernels call beside ``numba.cuda``: division of places, access in 16 bytes.

Only generated kernels import this module: it imports Numba. Where Numba simulates CUDA, the
functions are plain Python with the same meaning.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

WIDTH = 4  # elements of one wide access


def _plain_quotient(place: int, by: int) -> int:
    return place // by


def _plain_remainder(place: int, by: int) -> int:
    return place % by


def _plain_load4(array: Any, place: int) -> tuple[Any, ...]:
    return tuple(array[place + at] for at in range(WIDTH))


def _plain_store4(array: Any, place: int, values: tuple[Any, ...]) -> None:
    for at in range(WIDTH):
        array[place + at] = values[at]


def _plain_tf32(value: Any) -> Any:
    """The nearest number of 10 bits of mantissa, ties away from zero, as ``cvt.rna`` has it."""
    bits = np.float32(value).view(np.uint32)
    if np.isfinite(np.float32(value)):
        bits = (bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)
    return np.uint32(bits).view(np.float32)


if importlib.import_module("numba").config.ENABLE_CUDASIM:
    _simulator = importlib.import_module("codegen.cuda.simulator")
    _simulator.install()
    tf32: Any = _plain_tf32
    multiply_tf32: Any = _simulator.multiply
    floor: Any = np.floor
    ceil: Any = np.ceil
    fmod: Any = np.fmod
    quotient: Any = _plain_quotient
    remainder: Any = _plain_remainder
    load4: Any = _plain_load4
    store4: Any = _plain_store4
else:
    _compiled = importlib.import_module("codegen.cuda.intrinsics")
    quotient, remainder = _compiled.quotient, _compiled.remainder
    load4, store4 = _compiled.load4, _compiled.store4
    tf32, multiply_tf32 = _compiled.tf32, _compiled.multiply_tf32
    floor, ceil, fmod = _compiled.floor, _compiled.ceil, math.fmod

__all__ = [
    "ceil",
    "floor",
    "fmod",
    "load4",
    "multiply_tf32",
    "quotient",
    "remainder",
    "store4",
    "tf32",
]
