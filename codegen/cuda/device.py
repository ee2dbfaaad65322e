"""What generated kernels call beside ``numba.cuda``: division of places, access in 16 bytes.

Only generated kernels import this module: it imports Numba. Where Numba simulates CUDA, the
functions are plain Python with the same meaning.
"""

from __future__ import annotations

import importlib
from typing import Any

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


if importlib.import_module("numba").config.ENABLE_CUDASIM:
    importlib.import_module("codegen.cuda.simulator").install()
    quotient: Any = _plain_quotient
    remainder: Any = _plain_remainder
    load4: Any = _plain_load4
    store4: Any = _plain_store4
else:
    _compiled = importlib.import_module("codegen.cuda.intrinsics")
    quotient, remainder = _compiled.quotient, _compiled.remainder
    load4, store4 = _compiled.load4, _compiled.store4

__all__ = ["load4", "quotient", "remainder", "store4"]
