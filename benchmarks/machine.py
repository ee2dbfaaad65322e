"""Nothing in, what a reader must know about the machine and the versions out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("tracefuse", "numpy", "numba", "llvmlite", "torch", "jax", "jaxlib")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, load and system."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cpus": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_kib": int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


class Watch:
    """How busy other processes kept the CPUs since the watch was made (Linux; else zero).

    Two threads that wait for each other by spinning lose a whole time slice whenever a third
    process takes one of their CPUs: then a step of 8 ms reads as 160, and the table is worthless.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = [os.getpid(), *pids]
        self._busy, self._own, self._clock = _busy(), self._own_ticks(), time.monotonic()

    def foreign_share(self) -> float:
        """CPU time of all but these processes, as a share of what all CPUs had."""
        foreign = (_busy() - self._busy) - (self._own_ticks() - self._own)
        available = (time.monotonic() - self._clock) * (os.cpu_count() or 1)
        return max(0.0, foreign / os.sysconf("SC_CLK_TCK") / available)

    def _own_ticks(self) -> int:
        return sum(_ticks_of(pid) for pid in self._pids)


def describe_versions() -> dict[str, str]:
    """Installed versions; a package that is missing is left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _busy() -> int:
    """Ticks in which CPUs were not idle, those stolen by the hypervisor included."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0
    ticks = [int(field) for field in fields]
    return sum(ticks) - ticks[3] - ticks[4]


def _ticks_of(pid: int) -> int:
    """User and system ticks of a live process, all its threads together."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
