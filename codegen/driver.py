"""A launch list in, every kernel of it run side by side on all threads out.

All threads walk the same list (SPMD), each taking the fixed share ``units*t//T`` to
``units*(t+1)//T`` of every kernel; they meet only before a launch whose flags say BARRIER. So a
step of forty kernels costs one Python call, and consecutive kernels that touch only their own
share cost no synchronisation at all. The loop and the workers are native (driver_text.py).
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from codegen.cache import build_objects
from codegen.driver_text import (
    CONTROL_BYTES,
    CPUS,
    JOB,
    LINE,
    LINES,
    RECORD,
    SYMBOLS,
    driver_text,
)
from codegen.native import host, load_objects
from codegen.threads import (
    allowed_cpus,
    available_cpus,
    checked_threads,
    default_threads,
    join_thread,
    start_thread,
)

# A launch is (kernel address, args address, dims address, units, flags, strips, group, apart).
# The kernel is void kernel(ptr args, ptr dims, i64 begin, i64 end), told strips where a unit is cut
# into several; with the ``group - 1`` launches after it a launch takes turns strip by strip. The
# args of thread t lie ``apart * t`` bytes after those of the first.
FIELDS = 8
BARRIER = 1
SPINS = 2000  # pauses before a waiter sleeps: more hurts beside other processes, less is slower
CROWDED_SPINS = 20  # with more threads than CPUs, the one waited for needs this CPU

Launches: TypeAlias = npt.NDArray[np.int64]
_INT64 = np.dtype(np.int64)
_drivers: weakref.WeakSet[Driver] = weakref.WeakSet()


@dataclass(frozen=True)
class _Entry:
    """The native driver's functions."""

    run: Callable[[int, int, int], None]
    alert: Callable[[int], None]
    stop: Callable[[int], None]
    worker: int


@cache
def _entry() -> _Entry:
    text = driver_text(host().triple)
    blobs, _ = build_objects(("driver", text), lambda: (text,))
    at = load_objects(blobs, SYMBOLS)
    pointer, i64 = ctypes.c_void_p, ctypes.c_int64
    return _Entry(
        run=ctypes.CFUNCTYPE(None, pointer, pointer, i64)(at["tf_run"]),
        alert=ctypes.CFUNCTYPE(None, pointer)(at["tf_alert"]),
        stop=ctypes.CFUNCTYPE(None, pointer)(at["tf_stop"]),
        worker=at["tf_worker"],
    )


class _Pool:
    """A control block and the native threads that watch it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        spins = SPINS if threads <= available_cpus() else CROWDED_SPINS
        self._memory = np.zeros(CONTROL_BYTES + LINE, np.uint8)
        start = -self._memory.ctypes.data % LINE
        self.control = self._memory.ctypes.data + start
        job = self._memory[start + LINE * LINES.index("job") :][:LINE].view(np.int64)
        job[JOB.index("threads")] = threads
        job[JOB.index("spins")] = spins
        records = [(self.control, t, 0) for t in range(1, threads)]
        self._records = np.array(records, np.int64).reshape(-1, RECORD)
        self._allowed = allowed_cpus(CPUS)
        if 1 < threads <= available_cpus() and self._allowed is not None:
            job[JOB.index("allowed")] = self._allowed.ctypes.data
            job[JOB.index("records")] = self._records.ctypes.data
            job[JOB.index("caller")] = -1
        self._workers: list[int] = []
        try:
            for t in range(threads - 1):
                record = self._records[t].ctypes.data
                self._workers.append(start_thread(_entry().worker, record))
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the workers, after the run they are in."""
        _entry().stop(self.control)
        while self._workers:
            join_thread(self._workers.pop())


class Driver:
    """Runs launch lists on ``threads`` threads; the caller is one of them.

    Any number of Python threads may call ``run``; they take turns. Workers start with the first
    run, sleep between runs, and end with the driver or the process. A forked child starts its own.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = default_threads() if threads is None else checked_threads(threads)
        self._lock = threading.Lock()
        self._pool: _Pool | None = None
        self._ending: weakref.finalize[[], Driver] | None = None
        self._single = _Pool(1)
        self._run, self._alert = _entry().run, _entry().alert
        _drivers.add(self)

    @property
    def threads(self) -> int:
        """How many threads share every launch."""
        return self._threads

    def run(self, launches: Launches, threads: int = 0, alone: bool = False) -> None:
        """Run the list; back when every thread has finished. The GIL is free meanwhile.

        The array, and every buffer it names, must live until then. A list that is for so many
        ``threads`` is run on them, whatever the driver's number has become; or by the caller
        ``alone``.
        """
        if launches.dtype != _INT64 or launches.ndim != 2 or launches.shape[1] != FIELDS:
            given = f"{launches.dtype} {launches.shape}"
            raise ValueError(f"launches must be int64 (n, {FIELDS}), got {given}")
        if not launches.flags.c_contiguous:
            raise ValueError("launches must be C-contiguous")
        self.run_at(launches.__array_interface__["data"][0], len(launches), threads, alone)

    def run_at(self, address: int, count: int, threads: int = 0, alone: bool = False) -> None:
        """The same for ``count`` launches that lie at ``address``: nothing is checked."""
        with self._lock:
            if alone:
                self._run(self._single.control, address, count)
                return
            if threads in (0, self._threads):
                pool = self._pool or self._start()
                self._run(pool.control, address, count)
                return
            passing = _Pool(threads)
            try:
                self._run(passing.control, address, count)
            finally:
                passing.stop()

    def alert(self) -> None:
        """Wake the workers for a run that is about to come: waking takes as long as Python's part
        of a small step. Those that wait in vain sleep again."""
        pool = self._pool
        if pool is not None and pool.threads > 1:
            self._alert(pool.control)

    def resize(self, threads: int) -> None:
        """Use another number of threads from the next run on."""
        count = checked_threads(threads)
        with self._lock:
            if count != self._threads:
                self._end()
                self._threads = count

    def close(self) -> None:
        """End the workers now; a later run starts new ones."""
        with self._lock:
            self._end()

    def _start(self) -> _Pool:
        pool = self._pool = _Pool(self._threads)
        self._ending = weakref.finalize(self, pool.stop)  # also at exit, while ctypes still works
        return pool

    def _end(self) -> None:
        if self._ending is not None:
            self._ending()
        self._forget()

    def _forget(self) -> None:
        if self._ending is not None:
            self._ending.detach()
        self._pool = self._ending = None

    def _after_fork(self) -> None:
        """In the child the workers do not exist, and the lock may be held by nobody."""
        self._lock = threading.Lock()
        self._forget()


def _after_fork_in_child() -> None:
    for driver in list(_drivers):
        driver._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@cache
def shared_driver() -> Driver:
    """The process's one driver: all programs share its threads."""
    return Driver()


def get_num_threads() -> int:
    """Threads that run a compiled program."""
    return shared_driver().threads


def set_num_threads(threads: int) -> None:
    """Run compiled programs on this many threads."""
    shared_driver().resize(threads)
