"""Nothing in, what this CPU can do at most out: arithmetic, and bandwidth of each memory level.

Measured with native kernels on as many threads as steps run on, once for a machine: the numbers
are kept in the cache of compiled code, under the CPU's name and the number of threads. Each is the
best of short runs until no better one comes: what disturbs a run only ever makes it slower.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from codegen.cache import ObjectCache, build_objects, shared_cache
from codegen.driver import Driver
from codegen.machine_text import SYMBOLS, flops_of_turn, machine_text, unit_bytes
from codegen.native import host, load_objects

RUNS = 20  # since the last that was better
SECONDS = 0.001  # of one run, at least
Array: TypeAlias = npt.NDArray[Any]

SHARED = 0.6  # of what separate cores would do: less is no turbo clock
_VERSION = "1"  # of what is stored
_CPUS = Path("/sys/devices/system/cpu")
_INFO = Path("/proc/cpuinfo")
_UNKNOWN = (("L1", 32 << 10, 0), ("L2", 512 << 10, 0), ("L3", 8 << 20, -1))  # where nobody tells
_LARGEST = 256 << 20  # bytes that stand for memory, unless a cache is larger than half of it
_SKEW = 17 * 64  # arrays start at different places of a page


@dataclass(frozen=True)
class Level:
    """A cache, or memory: what fits in it in all, bytes, and bytes a second."""

    name: str
    capacity: int
    bandwidth: float


@dataclass(frozen=True)
class Peaks:
    """The limits of ``threads`` threads of a CPU; ``f32`` and ``f64`` in operations a second."""

    cpu: str
    threads: int
    f32: float
    f64: float
    levels: tuple[Level, ...]

    def level_of(self, size: int) -> Level:
        """The smallest level that holds ``size`` bytes; memory holds everything."""
        return next((one for one in self.levels if size <= one.capacity), self.levels[-1])


def peaks(threads: int, anew: bool = False, store: ObjectCache | None = None) -> Peaks:
    """This machine's limits, as stored or (``anew``, or not stored yet) as measured now.

    Measuring keeps all threads busy for about a second. What other processes disturbed is not
    stored, so that the next call measures again.
    """
    store = store or shared_cache()
    sizes = cache_sizes(threads)
    key = _key(threads, sizes)
    blob = None if anew else store.get(key)
    if blob is not None:
        return _from_json(blob)
    found = measure(threads, sizes)
    if not is_disturbed(found, anew, store):
        store.put(key, json.dumps(asdict(found)).encode())
    return found


def is_disturbed(found: Peaks, anew: bool = False, store: ObjectCache | None = None) -> bool:
    """Whether the threads reach much less than as many times one: others used their CPUs."""
    if found.threads == 1:
        return False
    return found.f32 < SHARED * found.threads * peaks(1, anew, store).f32


def measure(threads: int, sizes: Sequence[tuple[str, int]]) -> Peaks:
    """Run the kernels; ``sizes`` are (name, bytes of all) of the caches, small to large."""
    driver = Driver(threads)
    try:
        floats, doubles = (_arithmetic(driver, name) for name in ("float", "double"))
        levels = []
        below = 0
        for name, size in sizes:
            # well into this level, and well out of the one below
            levels.append(Level(name, size, _bandwidth(driver, max(size // 2, below * 2))))
            below = size
        far = max(min(4 * below, _LARGEST), 2 * below)
        levels.append(Level("memory", far, _bandwidth(driver, far)))
    finally:
        driver.close()
    return Peaks(cpu_name(), threads, floats, doubles, tuple(levels))


def cpu_name() -> str:
    """The CPU as its maker calls it, where the system tells, and as LLVM does."""
    try:
        lines = _INFO.read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0]} ({host().cpu})" if named else host().cpu


def cache_sizes(threads: int) -> tuple[tuple[str, int], ...]:
    """(name, bytes) of each data cache, summed over as many as ``threads`` threads can use."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    found: dict[str, dict[str, int]] = {}
    for cpu in cpus:
        for name, sharers, size in _caches_of(cpu):
            found.setdefault(name, {})[sharers] = size
    if not found:
        found = {
            name: {str(at): size for at in (range(threads) if shared == 0 else (0,))}
            for name, size, shared in _UNKNOWN
        }
    return tuple(
        (name, max(own.values()) * min(threads, len(own))) for name, own in sorted(found.items())
    )


def _caches_of(cpu: int) -> list[tuple[str, str, int]]:
    """(name, who shares it, bytes) of the caches between one CPU and memory."""
    found = []
    for index in sorted(_CPUS.glob(f"cpu{cpu}/cache/index*")):
        try:
            kind, level, sharers, size = (
                (index / name).read_text().strip()
                for name in ("type", "level", "shared_cpu_list", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            found.append((f"L{level}", sharers, int(size[:-1]) << 10))
    return found


@cache
def _kernels() -> dict[str, int]:
    target = host()
    text = machine_text(target.vector_bits, target.vector_registers)
    blobs, _ = build_objects(("machine", text), lambda: (text,))
    return load_objects(blobs, SYMBOLS)


def _arithmetic(driver: Driver, kind: str) -> float:
    """Operations a second of multiply-adds in registers."""
    target = host()
    block, turns = np.full(256, 1, {"float": np.float32, "double": np.float64}[kind]), 1000
    block[:64] = 0.5  # x; y is 1: sums end at 2
    results = _aligned(np.zeros(driver.threads * 64 * 64, np.uint8))
    operands = _aligned(block)
    arrays = (results, operands, operands[64:])
    seconds = _seconds(driver, f"fma_{kind}", arrays, driver.threads * turns)
    size = block.itemsize
    flops = flops_of_turn(target.vector_bits, target.vector_registers, size)
    return driver.threads * turns * flops / seconds


def _bandwidth(driver: Driver, size: int) -> float:
    """Bytes a second over ``size`` bytes in all: the better of reading, and of a triad."""
    unit = unit_bytes(host().vector_bits)
    each = max(1, size // 3 // unit // driver.threads) * driver.threads
    whole = np.ones((3 * each * unit + 3 * _SKEW + 64) // 4, np.float32)
    start = -whole.ctypes.data % 64 // 4
    step = (each * unit + _SKEW) // 4
    arrays = [whole[start + at * step :] for at in range(3)]
    triad = 3 * each * unit / _seconds(driver, "triad", arrays, each)
    ends = _aligned(np.zeros(64 * 64, np.uint8))
    reads = 3 * each * unit / _seconds(driver, "read", (ends, arrays[0], ends), 3 * each)
    return max(triad, reads)


def _seconds(driver: Driver, name: str, arrays: Sequence[Array], units: int) -> float:
    """Of one walk over all units, the best of some runs of many walks."""
    table = np.array([array.ctypes.data for array in arrays], np.int64)
    times = np.ones(1, np.int64)
    row = (_kernels()[name], table.ctypes.data, times.ctypes.data, units, 0, 1, 1, 0)
    launches = np.array([row], np.int64)
    spent = _timed(driver, launches)
    while spent < SECONDS:  # threads that wake up take a while: more walks, not longer ones
        times[0] = int(times[0] * min(16.0, 1.0 + 1.1 * SECONDS / spent))
        spent = _timed(driver, launches)
    best, left = spent, RUNS
    while left:
        spent, left = _timed(driver, launches), left - 1
        if spent < 0.99 * best:  # other processes were in the way until now
            left = RUNS
        best = min(best, spent)
    return best / int(times[0])


def _timed(driver: Driver, launches: Array) -> float:
    started = time.perf_counter()
    driver.run(launches)
    return time.perf_counter() - started


def _aligned(block: Array) -> Array:
    """The same contents at a multiple of 64 bytes."""
    room = np.empty(block.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    found = room[start : start + block.nbytes].view(block.dtype)
    found[:] = block
    return found


def _key(threads: int, sizes: Sequence[tuple[str, int]]) -> str:
    """Not the compiler's sources: these numbers are the machine's."""
    parts = ["peaks", _VERSION, cpu_name(), host().features, str(threads), repr(sizes)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _from_json(blob: bytes) -> Peaks:
    given = json.loads(blob)
    return Peaks(**{**given, "levels": tuple(Level(**level) for level in given["levels"])})
