"""A batch in, the same batch in memory that a GPU reads by itself out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.device import no_cuda
from engine.moving import pin
from engine.tensor import Tensor


def pinned(batch: Any) -> Any:
    """Every tensor of a batch pinned, whatever containers it is in; as it is where no GPU is."""
    if no_cuda():
        return batch
    if isinstance(batch, Tensor):
        return batch if batch.is_cuda or batch.is_pinned() else pin(batch)
    if isinstance(batch, Mapping):
        parts = {key: pinned(item) for key, item in batch.items()}
        return parts if type(batch) is dict else type(batch)(parts)  # type: ignore[call-arg]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pinned, batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map(pinned, batch))
    return batch.pin_memory() if hasattr(batch, "pin_memory") else batch
