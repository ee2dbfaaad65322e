"""What generated kernels call beside ``numba.cuda``: division of places, access in 16 bytes.

Only generated kernels import this module: it imports Numba. Where Numba simulates CUDA, the
functions are plain Python with the same meaning.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from ir.types import BF16, F16

WIDTH = 4  # elements of one wide access


def _plain_quotient(place: int, by: int) -> int:
    return place // by


def _plain_remainder(place: int, by: int) -> int:
    return place % by


def _plain_load4(array: Any, place: int) -> tuple[Any, ...]:
    return tuple(array[place + at] for at in range(WIDTH))


def _plain_load2(array: Any, place: int) -> tuple[Any, ...]:
    return array[place], array[place + 1]


def _plain_store4(array: Any, place: int, values: tuple[Any, ...]) -> None:
    for at in range(WIDTH):
        array[place + at] = values[at]


def _plain_tf32(value: Any) -> Any:
    """The nearest number of 10 bits of mantissa, ties away from zero, as ``cvt.rna`` has it."""
    bits = np.float32(value).view(np.uint32)
    if np.isfinite(np.float32(value)):
        bits = (bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)
    return np.uint32(bits).view(np.float32)


def _plain_halves(dtype: Any) -> tuple[Any, Any, Any]:
    """The float32 of a half's bits, the bits of the nearest half, and a pair of halves."""

    def widen(bits: Any) -> Any:
        return np.float32(np.uint16(bits).view(dtype))

    def rounded(value: Any) -> Any:
        return np.asarray(value, np.float32).astype(dtype).view(np.uint16)[()]

    def pack(low: Any, high: Any) -> Any:
        return widen(rounded(low)), widen(rounded(high))

    return widen, rounded, pack


if importlib.import_module("numba").config.ENABLE_CUDASIM:
    _simulator = importlib.import_module("codegen.cuda.simulator")
    _simulator.install()
    tf32: Any = _plain_tf32
    multiply_tf32: Any = _simulator.multiply
    multiply_bf16: Any = _simulator.multiply_pairs
    multiply_f16: Any = _simulator.multiply_pairs
    widen_bf16, round_bf16, pack_bf16 = _plain_halves(BF16)
    widen_f16, round_f16, pack_f16 = _plain_halves(F16)
    floor: Any = np.floor
    ceil: Any = np.ceil
    fmod: Any = np.fmod
    quotient: Any = _plain_quotient
    remainder: Any = _plain_remainder
    load2: Any = _plain_load2
    load4: Any = _plain_load4
    store4: Any = _plain_store4
else:
    _compiled = importlib.import_module("codegen.cuda.intrinsics")
    quotient, remainder = _compiled.quotient, _compiled.remainder
    load2, load4, store4 = _compiled.load2, _compiled.load4, _compiled.store4
    tf32, multiply_tf32 = _compiled.tf32, _compiled.multiply_tf32
    pack_bf16, multiply_bf16 = _compiled.pack_bf16, _compiled.multiply_bf16
    pack_f16, multiply_f16 = _compiled.pack_f16, _compiled.multiply_f16
    widen_bf16, round_bf16 = _compiled.widen_bf16, _compiled.round_bf16
    widen_f16, round_f16 = _compiled.widen_f16, _compiled.round_f16
    floor, ceil, fmod = _compiled.floor, _compiled.ceil, math.fmod

__all__ = [
    "ceil",
    "floor",
    "fmod",
    "load2",
    "load4",
    "multiply_bf16",
    "multiply_f16",
    "multiply_tf32",
    "pack_bf16",
    "pack_f16",
    "quotient",
    "remainder",
    "round_bf16",
    "round_f16",
    "store4",
    "tf32",
    "widen_bf16",
    "widen_f16",
]
