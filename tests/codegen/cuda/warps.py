"""Numba's simulator in, the same with the shuffles that it lacks out.

A shuffle is an exchange between the threads of one warp, all of which take part. Warps may have as
few lanes as one likes, since a simulated thread is one of Python's.
"""

import threading

from numba.cuda.simulator import kernelapi

PATIENCE = 60  # seconds for the other lanes of a warp


class Warp:
    """The lanes of one warp, which hand one another values."""

    def __init__(self, lanes):
        self.values, self.barrier = [None] * lanes, threading.Barrier(lanes)

    def exchange(self, lane, value, other):
        """What lane ``other`` has, once every lane has come with its value."""
        self.values[lane] = value
        self.barrier.wait(PATIENCE)
        found = self.values[other]
        self.barrier.wait(PATIENCE)
        return found


def install(monkeypatch, lanes):
    """Let simulated kernels shuffle among ``lanes`` neighbouring threads."""
    lock = threading.Lock()

    def shfl_xor_sync(self, mask, value, turn):
        thread = threading.current_thread()
        number, lane = divmod(thread.thread_id, lanes)
        with lock:
            warps = vars(thread._manager).setdefault("warps", {})
            warp = warps.setdefault(number, Warp(lanes))
        assert mask == 0xFFFFFFFF
        assert turn < lanes
        return warp.exchange(lane, value, lane ^ turn)

    monkeypatch.setattr(kernelapi.FakeCUDAModule, "shfl_xor_sync", shfl_xor_sync, raising=False)
