"""Integer positions and a table of rows in, the rows (or sums of bags of them) out.

Positions outside the table are an IndexError where their values are known. Gradients are dense:
``sparse`` is taken for PyTorch's sake.
"""

from __future__ import annotations

import math
from typing import Any

from engine.arithmetic import where
from engine.creation import arange, ones, zeros
from engine.dispatch import apply
from engine.gathering import index_select
from engine.modes import modes, no_grad
from engine.nn.functional.checks import misfit
from engine.nn.functional.distance import p_norm
from engine.sorting import searchsorted
from engine.tensor import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` [n, d] at ``input`` [...]: [..., d].

    The row ``padding_idx`` gets no gradient. ``max_norm`` first shortens, in place, the rows that
    are read. ``scale_grad_by_freq`` divides a row's gradient by how often it is read.

    Differs from PyTorch: the gradient of the table is dense; ``sparse=True`` changes nothing.
    """
    _check_table(input, weight)
    padding = _padding(padding_idx, weight)
    if max_norm is not None:
        _shorten(input, weight, max_norm, norm_type)
    rows = _rows(input, weight, scale_grad_by_freq)
    if padding is None:
        return rows
    return where((input == padding).unsqueeze(-1), rows.detach(), rows)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of ``weight`` [n, d]: [bags, d].

    ``input`` is [bags, size], or [count] with ``offsets`` [bags], the places where bags begin
    (and with ``include_last_offset`` one more, where the last one ends). ``padding_idx`` entries
    do not count. An empty bag is zero. ``per_sample_weights`` go with mode "sum".
    """
    _check_table(input, weight)
    _check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    padding = _padding(padding_idx, weight)
    if max_norm is not None:
        _shorten(input, weight, max_norm, norm_type)
    rows = _rows(input, weight, scale_grad_by_freq)
    counted = input != (-1 if padding is None else padding)
    if offsets is None:
        return _pooled(rows, counted, mode, per_sample_weights)
    starts = offsets[:-1] if include_last_offset else offsets
    places = arange(input.shape[0], dtype=starts.dtype)
    bags = searchsorted(starts, places, right=True) - 1
    return _gathered(rows, counted, bags, starts.shape[0], mode, per_sample_weights)


def _rows(input: Tensor, weight: Tensor, by_frequency: bool) -> Tensor:
    flat = input.reshape(-1)
    rows = index_select(weight, 0, flat)
    if by_frequency:
        often = index_select(_counts(flat, weight), 0, flat).unsqueeze(-1)
        rows = rows.detach() + (rows - rows.detach()) / often
    return rows.reshape(*input.shape, weight.shape[1])


def _counts(flat: Tensor, weight: Tensor) -> Tensor:
    """How often each row of the table is read."""
    once = ones(flat.shape, dtype=weight.dtype)
    return apply("put_add", once, flat, axis=0, extent=weight.shape[0])


def _shorten(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    with no_grad():
        table = weight.detach()
        size = p_norm(table, norm_type, 1, True)
        read = (_counts(input.reshape(-1), table) > 0).unsqueeze(-1)
        scale = where(read & (size > max_norm), max_norm / (size + 1e-7), 1.0)
        table.copy_(table * scale)


def _pooled(rows: Tensor, counted: Tensor, mode: str, weights: Tensor | None) -> Tensor:
    """Bags along axis 1 of [bags, size, d], reduced."""
    mask = counted.unsqueeze(-1)
    if mode == "max":
        if rows.shape[1] == 0:
            return rows.sum(1)
        largest = where(mask, rows, -math.inf).amax(1)
        return where(counted.any(1, True), largest, 0.0)
    kept = where(mask, rows, 0.0)
    total = (kept if weights is None else kept * weights.unsqueeze(-1)).sum(1)
    if mode == "sum":
        return total
    return total / counted.to(rows.dtype).sum(1, True).clamp(1.0)


def _gathered(
    rows: Tensor, counted: Tensor, bags: Tensor, count: Any, mode: str, weights: Tensor | None
) -> Tensor:
    """Bags of rows [n, d] by the number of each row's bag [n], reduced."""
    if mode == "max":
        member = (bags == arange(count, dtype=bags.dtype).unsqueeze(-1)) & counted
        return _pooled(rows.unsqueeze(0).expand(count, *rows.shape), member, mode, None)
    kept = where(counted.unsqueeze(-1), rows, 0.0)
    kept = kept if weights is None else kept * weights.unsqueeze(-1)
    if count == 0 or rows.shape[0] == 0:
        return zeros(count, rows.shape[1], dtype=rows.dtype)
    total = apply("put_add", kept, bags, axis=0, extent=count)
    if mode == "sum":
        return total
    each = apply("put_add", counted.to(rows.dtype), bags, axis=0, extent=count)
    return total / each.clamp(1.0).unsqueeze(-1)


def _padding(padding_idx: int | None, weight: Tensor) -> int | None:
    if padding_idx is None:
        return None
    rows = int(weight.shape[0])
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def _check_table(input: Tensor, weight: Tensor) -> None:
    if input.dtype.kind not in "iu":
        raise misfit(f"embedding takes integer positions, not {input.dtype}", "call .long()")
    if weight.ndim != 2:
        raise misfit(f"embedding takes a table of two axes: weight {list(weight.shape)}")


def _check_bags(
    input: Tensor, offsets: Tensor | None, mode: str, weights: Tensor | None, by_frequency: bool
) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise misfit(f"per_sample_weights {list(weights.shape)} for input {list(input.shape)}")
    if weights is not None and mode != "sum":
        raise NotImplementedError(f"per_sample_weights go with mode='sum', not {mode!r}")
    if mode == "max" and by_frequency:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if input.ndim == 2 and offsets is not None:
        raise ValueError("if input is 2D, then offsets has to be None")
    if input.ndim == 1 and (offsets is None or offsets.ndim != 1):
        raise ValueError("if input is 1D, then offsets has to be a 1D tensor")
    if input.ndim not in (1, 2):
        raise ValueError(f"input has to be 1D or 2D, but got {input.ndim} dimensions")
    if offsets is not None and modes.trace is None and offsets.numel() and offsets[0].item() != 0:
        raise misfit("embedding_bag: offsets[0] has to be 0, the first bag starts at the start")
