"""Half precision in, its sixteen bits out: how kernels hold what is stored in float16 or bfloat16.

Half precision is storage (decision 6). Arrays are of ``uint16``; a cast from a half widens its bits
to a float32, a cast to one rounds to the nearest, ties to even; everything else moves bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.portable.spell import cast
from ir.types import F32, DType, is_half, short


def memory_dtype(dtype: DType) -> DType:
    """The type of an array's elements in a kernel."""
    return np.dtype(np.uint16) if is_half(dtype) else dtype


def bits(value: Any, dtype: DType) -> str:
    """A constant half, as its bits."""
    return f"np.uint16({int(np.asarray(value, dtype).view(np.uint16))})"


def half_cast(text: str, source: DType, dtype: DType) -> str:
    """A cast from or to a half."""
    if source == dtype:
        return text
    if is_half(source):
        wide = f"widen_{short(source)}({text})"
        return half_cast(wide, F32, dtype) if is_half(dtype) else cast(wide, F32, dtype)
    return f"round_{short(dtype)}({cast(text, source, F32)})"
