"""A list of items in, one batch out: PyTorch's rules by the type of the first item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.creation import from_numpy, tensor
from engine.dtypes import float64
from engine.modes import modes
from engine.shaping import stack
from engine.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Tensors, arrays and numbers stacked (floats as float64), dicts and tuples part by part.

    A tuple becomes a list of batches, strings stay a list; TypeError for any other type and
    RuntimeError where shapes or lengths differ, as in PyTorch.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch)
    if isinstance(first, np.ndarray | np.generic):
        if np.asarray(first).dtype.kind in "OSUV":
            raise _unknown(np.asarray(first).dtype)
        return _stacked([from_numpy(np.asarray(item)) for item in batch])
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        parts = {key: default_collate([item[key] for item in batch]) for key in first}
        return _like(first, parts)
    if isinstance(first, Sequence):
        return _transposed(first, batch)
    raise _unknown(type(first))


def _unknown(found: Any) -> TypeError:
    text = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists"
    return TypeError(f"{text}; found {found}")


def _stacked(items: Sequence[Tensor]) -> Tensor:
    """``stack``; in one copy where no history has to be kept."""
    same = len({(item.dtype, tuple(item.shape)) for item in items}) == 1
    kept = any(item.requires_grad or item.is_cuda for item in items)
    if modes.trace is not None or not same or kept:
        return stack(list(items))
    return from_numpy(np.stack([item.numpy() for item in items]))


def _transposed(first: Sequence[Any], batch: Sequence[Any]) -> Any:
    if any(len(item) != len(first) for item in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    parts = [default_collate(part) for part in zip(*batch, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else parts


def _like(first: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    """``parts`` in the type of ``first``, or a dict where that takes no dict."""
    try:
        return type(first)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts


def default_convert(data: Any) -> Any:
    """Arrays in ``data`` as tensors, in containers too; all else as it is."""
    if isinstance(data, np.ndarray | np.generic):
        array = np.asarray(data)
        return data if array.dtype.kind in "OSUV" else from_numpy(array)
    if isinstance(data, Tensor | str | bytes):
        return data
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, Sequence):
        return [default_convert(value) for value in data]
    return data
