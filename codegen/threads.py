"""How many threads, and native threads without Python in them.

The workers of a step run nothing but machine code: created by pthread_create, they never take
the interpreter's lock and never show up in its bookkeeping.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# These come from the thread's own instructions; everything else is for Python's threads.
_OWN_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


def default_threads() -> int:
    """TRACEFUSE_NUM_THREADS, or the physical cores that this process may use."""
    named = os.environ.get("TRACEFUSE_NUM_THREADS", "").strip()
    if named:
        return checked_threads(named, "TRACEFUSE_NUM_THREADS")
    if hasattr(os, "sched_getaffinity"):
        return max(1, min(_cores(os.sched_getaffinity(0)), _quota()))
    return available_cpus()


def available_cpus() -> int:
    """CPUs that this process may be scheduled on, threads of one core counted singly."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allowed_cpus(count: int) -> npt.NDArray[np.uint8] | None:
    """The CPUs below ``count`` that this process may use, a bit for each; None where unknown."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    bits = np.zeros(count, np.uint8)
    bits[[cpu for cpu in os.sched_getaffinity(0) if cpu < count]] = 1
    return np.packbits(bits, bitorder="little")


def checked_threads(value: int | str, name: str = "threads") -> int:
    """A thread count that is a positive whole number."""
    try:
        count = int(value)
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    return count


def _cores(allowed: Iterable[int]) -> int:
    """Cores behind the allowed CPUs: two threads on one core share its vector units."""
    siblings = set()
    for cpu in allowed:
        path = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        try:
            siblings.add(path.read_text())
        except OSError:
            siblings.add(f"{cpu}\n")
    return len(siblings)


def _quota() -> int:
    """Whole CPUs that the container's quota pays for."""
    try:
        limit, period = _QUOTA.read_text().split()
        return 1 << 30 if limit == "max" else max(1, int(limit) // int(period))
    except (OSError, ValueError):
        return 1 << 30


@cache
def _pthread() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    handle, pointer = ctypes.c_size_t, ctypes.c_void_p
    libc.pthread_create.argtypes = [ctypes.POINTER(handle), pointer, pointer, pointer]
    libc.pthread_join.argtypes = [handle, pointer]
    return libc


def start_thread(entry: int, argument: int) -> int:
    """Start native ``entry(argument)``; its handle. Python's signals never land on it."""
    handle = ctypes.c_size_t()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _OWN_FAULTS)
    try:
        failed = _pthread().pthread_create(ctypes.byref(handle), None, entry, argument)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if failed:
        hint = "set TRACEFUSE_NUM_THREADS to use fewer"
        raise OSError(failed, f"no worker thread: {os.strerror(failed)}; {hint}")
    return handle.value


def join_thread(handle: int) -> None:
    """Wait until a native thread has returned."""
    _pthread().pthread_join(handle, None)
