"""Numba's simulator in, the same with a watch on shared memory out.

Every access to an array in shared memory is noted with the number of barriers that its thread has
met. Two threads may touch one element between two barriers only if both read it: that is so
whatever the order in which the simulated threads happened to run. Only barriers of the whole block
count; a shuffle orders no memory.
"""

import sys
import threading
from collections import defaultdict

import numpy as np
from numba.cuda.simulator import kernel as simulated, kernelapi

import codegen.cuda.device  # noqa: F401  (it teaches the simulator what it lacks)

PATIENCE = 30  # seconds


class Watch:
    """The races found so far, and how many accesses were looked at."""

    def __init__(self):
        self.lock, self.found, self.accesses = threading.Lock(), [], 0

    def settle(self):
        """Forget what was found, once the threads of a block that failed have come to an end."""
        for thread in threading.enumerate():
            if isinstance(thread, simulated.BlockThread):
                thread.join(PATIENCE)
        self.found.clear()


class SharedArray:
    """An array in shared memory that reports to a watch."""

    def __init__(self, values, watch, where):
        self.values, self.watch, self.where = values, watch, where
        self.touched = defaultdict(lambda: (None, {}))

    def _note(self, place, wrote):
        thread = threading.current_thread()
        assert 0 <= place < len(self.values), f"{self.where}: no element {place}"
        now, number = (id(thread._manager), vars(thread).get("barriers", 0)), thread.thread_id
        with self.watch.lock:
            self.watch.accesses += 1
            epoch, who = self.touched[place]
            if epoch != now:
                who = {}
                self.touched[place] = (now, who)
            who[number] = who.get(number, False) or wrote
            if len(who) > 1 and any(who.values()):
                self.watch.found.append((self.where, place, dict(who)))

    def __getitem__(self, place):
        self._note(int(place), False)
        return self.values[place]

    def __setitem__(self, place, value):
        self._note(int(place), True)
        self.values[place] = value


def install(monkeypatch):
    """Let simulated kernels report to the watch that is returned."""
    watch, lock = Watch(), threading.Lock()

    def array(self, shape, dtype, alignment=None):
        caller = sys._getframe(1)  # one array for a line, as the simulator has it
        where = (caller.f_code.co_filename, caller.f_lineno)
        with lock:
            if where not in self._allocations:
                self._allocations[where] = SharedArray(np.zeros(shape, dtype), watch, where)
            return self._allocations[where]

    plain = simulated.BlockThread.syncthreads

    def syncthreads(self):
        plain(self)
        self.barriers = vars(self).get("barriers", 0) + 1

    monkeypatch.setattr(kernelapi.FakeCUDAShared, "array", array)
    monkeypatch.setattr(simulated.BlockThread, "syncthreads", syncthreads)
    return watch
