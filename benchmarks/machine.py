"""Nothing in, what a reader must know about the machine and the versions out."""

from __future__ import annotations

import os
import platform
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
