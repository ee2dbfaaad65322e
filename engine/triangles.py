"""Matrices in, their triangles out, and the positions that triangles have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import ge, le, masked_fill, sub
from engine.dispatch import describe, expand_to
from engine.dtypes import as_dtype, int64
from engine.errors import ShapeError, message
from engine.gathering import counted
from engine.locate import user_location
from engine.rearrange import diagonal as diagonal_of
from engine.state import TensorState

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["trace", "tril", "tril_indices", "triu", "triu_indices"]


def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """[..., n, m] with zeros above the ``diagonal``-th diagonal."""
    return masked_fill(x, ~le(_distance(x, "tril"), diagonal), 0)


def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """[..., n, m] with zeros below the ``diagonal``-th diagonal."""
    return masked_fill(x, ~ge(_distance(x, "triu"), diagonal), 0)


def _distance(x: Tensor, op: str) -> Tensor:
    """How far right of the main diagonal each element of ``x`` lies."""
    shape = x.value.type.shape
    if len(shape) < 2:
        text = f"{op}() takes at least 2 dimensions, not {describe(x)}"
        raise ShapeError(message(user_location(), text))
    across = sub(counted(x, shape[-2:], 1), counted(x, shape[-2:], 0))
    return expand_to(across, shape)


def trace(x: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix [n, m]; a number without dimensions."""
    if len(x.value.type.shape) != 2:
        text = f"trace() takes a matrix, not {describe(x)}"
        raise ShapeError(message(user_location(), text))
    return diagonal_of(x).sum()


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The rows and columns [2, n] of a lower triangle, row by row."""
    return _places("tril_indices", np.tril_indices, row, col, offset, dtype)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The rows and columns [2, n] of an upper triangle, row by row."""
    return _places("triu_indices", np.triu_indices, row, col, offset, dtype)


def _places(op: str, places: Any, row: int, col: int, offset: int, dtype: Any) -> Tensor:
    if row < 0 or col < 0:
        text = f"{op}() of {row} rows and {col} columns: both must not be negative"
        raise ShapeError(message(user_location(), text))
    kind = int64 if dtype is None else as_dtype(dtype)
    if kind.kind != "i":
        raise ShapeError(message(user_location(), f"{op}() gives int32 or int64, not {kind}"))
    return TensorState._plain._from_array(np.stack(places(row, offset, col)).astype(kind))
