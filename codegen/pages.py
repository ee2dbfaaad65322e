"""Bytes wanted in, memory for intermediates out: the same pages for all programs of the process.

Nothing in an arena outlives a run, and the programs of a process run one at a time, on the threads
that they share. So a step, its evaluation, and both for other sizes all use the same bytes: memory
is that of the largest, and pages that one has touched cost the others no fault.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import cache

import numpy as np
import numpy.typing as npt

ALIGN = 64
LARGE = 1 << 20  # bytes from which on room is left
RESERVE = 8  # times what is wanted: addresses, no memory before something is written there
MOST = 1 << 30  # bytes that are reserved so
Memory = npt.NDArray[np.uint8]


class Pages:
    """Who holds ``lock`` may write to the memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._memory: weakref.ref[Memory] | None = None  # programs hold it, while there are any

    def at_least(self, size: int) -> tuple[Memory, bool]:
        """Memory of ``size`` bytes or more, and whether it is new: nobody needs the old one."""
        held = None if self._memory is None else self._memory()
        if held is not None and held.size >= size:
            return held, False
        room = size if size < LARGE else max(size, min(size * RESERVE, MOST))
        try:
            found = _aligned(room)
        except MemoryError:  # where addresses count as memory
            found = _aligned(size)
        self._memory = weakref.ref(found)
        return found, True


def _aligned(size: int) -> Memory:
    raw = np.zeros(size + ALIGN, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGN
    return raw[start : start + size]


@cache
def shared_pages() -> Pages:
    """The process's own."""
    return Pages()


def _in_child() -> None:
    """A forked child has none of the threads that may have been in a program."""
    shared_pages().lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
