"""A result's shape in, memory for it out: that of an earlier result which nobody holds any more.

A large array that NumPy makes anew comes as pages that the system clears one fault at a time,
which costs more than a kernel that fills it. A program therefore keeps the memory of its last
results, and gives it out again when their reference counts say that the caller has let go of them.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST = 1 << 20  # bytes: smaller arrays come from the allocator's own lists, without faults
KEPT = 2  # blocks for a result: one that the caller holds, one to write meanwhile


class Recycler:
    """The large blocks of one program's results, by output."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[npt.NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()

    def empty(self, at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array for output ``at``, its content undefined."""
        size = dtype.itemsize
        for extent in shape:
            size *= extent
        if size < LEAST:
            return np.empty(shape, dtype)
        with self._lock:
            blocks = [b for b in self._blocks.get(at, []) if len(b) == size]
            self._blocks[at] = blocks
            # views are made under the lock, so that a block is never given out twice
            for which in reversed(range(len(blocks))):  # the latest may still be in a cache
                if _holders(blocks, which) == _ALONE:
                    blocks.append(blocks.pop(which))
                    return blocks[-1].view(dtype).reshape(shape)
            blocks.append(np.empty(size, np.uint8))
            del blocks[:-KEPT]
            return blocks[-1].view(dtype).reshape(shape)


def _holders(blocks: list[npt.NDArray[np.uint8]], which: int) -> int:
    return sys.getrefcount(blocks[which])


_ALONE = _holders([np.empty(1, np.uint8)], 0)  # as this Python counts, the list's own reference
