"""A tensor in, the text that PyTorch would print out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.modes import modes
from engine.storage import CPU

if TYPE_CHECKING:
    from engine.tensor import Tensor
    from ir.table import Array
from ir.types import is_half

_PLAIN = {np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)}


def represent(x: Tensor, prefix: str = "tensor(") -> str:
    """``tensor([1.0000, 2.0000], requires_grad=True)``."""
    value = x.value
    if modes.trace is not None or value.array is None:
        return f"{prefix}<{value.type} in a traced step>)"
    notes = [] if value.home in (None, CPU) else [f"device='{value.home}'"]
    notes += [] if value.type.dtype in _PLAIN else [f"dtype={value.type.dtype}"]
    if x.is_leaf and x.requires_grad:
        notes.append("requires_grad=True")
    elif value.requires_grad:
        notes.append(f"grad_fn=<{value.node.op.name}>")
    return ", ".join([prefix + _numbers(value.array, len(prefix)), *notes]) + ")"


def _numbers(array: Array, indent: int) -> str:
    if array.size == 0:
        shape = "" if array.ndim == 1 else f", size={tuple(array.shape)}"
        return f"[]{shape}"
    if is_half(array.dtype):
        array = array.astype(np.float32)
    text = np.array2string(
        array,
        separator=", ",
        prefix=" " * indent,
        formatter={"float_kind": _float_format(array), "bool": str},  # type: ignore[arg-type]
        threshold=1000,
        edgeitems=3,
    )
    return text


def _float_format(array: Array) -> object:
    if array.dtype.kind != "f":
        return None
    finite = np.abs(array[np.isfinite(array)])
    if finite.size and np.all(finite == np.floor(finite)) and finite.max() < 1e8:
        return lambda v: f"{v:.0f}." if np.isfinite(v) else str(v)
    nonzero = finite[finite > 0]
    if nonzero.size and (nonzero.max() >= 1e5 or nonzero.min() < 1e-4):
        return lambda v: f"{v:.4e}"
    return lambda v: f"{v: .4f}" if (array < 0).any() else f"{v:.4f}"
