"""Numba's CUDA simulator in, the same with what our kernels need beyond it out.

It has no shuffles, and no alignment of shared arrays (which means nothing there). A shuffle is an
exchange between two of Python's threads, so that simulated warps may be as small as one likes.
"""

from __future__ import annotations

import importlib
import queue
import sys
import threading
from collections import defaultdict
from typing import Any

import numpy as np

PATIENCE = 120.0  # seconds to wait for a lane that should shuffle too

_lock = threading.Lock()


def install() -> None:
    """Teach the simulator what it lacks; more than once does no harm."""
    kernelapi: Any = importlib.import_module("numba.cuda.simulator.kernelapi")
    kernelapi.FakeCUDAModule.shfl_xor_sync = _shuffle
    kernelapi.FakeCUDAShared.array = _shared_array


def _shuffle(module: Any, mask: int, value: Any, turn: int) -> Any:
    """The value of the thread whose number differs in ``turn``, which comes here as well."""
    thread: Any = threading.current_thread()
    me, other = thread.thread_id, thread.thread_id ^ turn
    with _lock:
        post = vars(thread._manager).setdefault("post", defaultdict(queue.SimpleQueue))
        there, here = post[me, other], post[other, me]
    there.put(value)
    return here.get(timeout=PATIENCE)


def multiply(a: Any, b: Any, sums: Any) -> tuple[Any, ...]:
    """``mma.m16n8k8``: every lane's part of ``sums + a @ b`` of its warp's 32 lanes.

    Which lane holds which element is as the PTX manual says under "Matrix Fragments for
    mma.m16n8k8": four lanes of a group lie along a row of ``a``, groups are its rows.
    """
    left, right = np.empty((16, 8)), np.empty((8, 8))
    for other, (x, y) in enumerate(_gathered(a, b)):
        group, member = divmod(other, 4)
        for at in range(4):
            left[group + 8 * (at % 2), member + 4 * (at // 2)] = x[at]
        for at in range(2):
            right[member + 4 * at, group] = y[at]
    return _part_of(left, right, sums)


def multiply_pairs(a: Any, b: Any, sums: Any) -> tuple[Any, ...]:
    """``mma.m16n8k16``: the same of pairs of neighbours along the sum ("Matrix Fragments for
    mma.m16n8k16 with floating point type")."""
    left, right = np.empty((16, 16)), np.empty((16, 8))
    for other, (x, y) in enumerate(_gathered(a, b)):
        group, member = divmod(other, 4)
        for at in range(4):
            start = 2 * member + 8 * (at // 2)
            left[group + 8 * (at % 2), start : start + 2] = x[at]
        for at in range(2):
            right[2 * member + 8 * at : 2 * member + 8 * at + 2, group] = y[at]
    return _part_of(left, right, sums)


def _gathered(a: Any, b: Any) -> list[Any]:
    """What all lanes of the warp hold."""
    thread: Any = threading.current_thread()
    number, lane = divmod(thread.thread_id, 32)
    with _lock:
        warps = vars(thread._manager).setdefault("warps", {})
        warp = warps.setdefault(number, ([None] * 32, threading.Barrier(32)))
    held, barrier = warp
    held[lane] = (a, b)
    barrier.wait(PATIENCE)
    found = list(held)
    barrier.wait(PATIENCE)
    return found


def _part_of(left: Any, right: Any, sums: Any) -> tuple[Any, ...]:
    """This lane's four results."""
    thread: Any = threading.current_thread()
    group, member = divmod(thread.thread_id % 32, 4)
    found = [(left[group + 8 * (at // 2)] @ right[:, 2 * member + at % 2]) for at in range(4)]
    return tuple(np.float32(old + new) for old, new in zip(sums, found, strict=True))


def _shared_array(memory: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """The array of the line that asks for it, the same for all threads of a block."""
    caller = sys._getframe(1)
    place = (caller.f_code.co_filename, caller.f_lineno)
    with _lock:
        if place not in memory._allocations:
            memory._allocations[place] = np.empty(shape, dtype)
        return memory._allocations[place]
