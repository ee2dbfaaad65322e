"""Nothing in, what a reader must know about the machine and the versions out."""

from __future__ import annotations

import os
import platform
import time
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

    def __init__(self) -> None:
        self._busy, self._own, self._clock = _busy_seconds(), _own_seconds(), time.monotonic()

    def foreign_share(self) -> float:
        """Foreign CPU time as a share of what all CPUs had; ended children count as our own."""
        foreign = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        available = (time.monotonic() - self._clock) * (os.cpu_count() or 1)
        return max(0.0, foreign / available)


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


def _busy_seconds() -> float:
    """Seconds that all CPUs were not idle, time stolen by the hypervisor included."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    ticks = [int(field) for field in fields]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
