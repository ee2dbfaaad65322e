"""A CUDA kernel in, its PTX and what it asks of a multiprocessor out: no GPU is needed.

PTX comes from NVVM through Numba's CUDA target (``pip install 'tracefuse[cuda]'``); registers,
spills and shared memory from ``ptxas``, which the package nvidia-cuda-nvcc or a CUDA toolkit has.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.cuda.compiled import compiled
from codegen.cuda.halves import memory_dtype
from codegen.cuda.source import Kernel
from ir.errors import UnsupportedError


@dataclass(frozen=True)
class Architecture:
    """What one multiprocessor of a generation has (CUDA C Programming Guide, table 27)."""

    threads: int
    blocks: int
    shared: int  # bytes
    registers: int = 65_536


ARCHITECTURES = {
    "sm_80": Architecture(2048, 32, 164 * 1024),
    "sm_90": Architecture(2048, 32, 228 * 1024),
    "sm_120": Architecture(1536, 32, 100 * 1024),
}


@dataclass(frozen=True)
class Resources:
    """What a kernel takes, and the share of a multiprocessor's threads that can be at work."""

    registers: int  # of a thread
    shared: int  # bytes of a block
    stack: int  # bytes of a thread: arrays that are no registers
    spills: int  # bytes of a thread, stored and loaded
    occupancy: float


def ptx_of(kernel: Kernel, architecture: str = "sm_80") -> str:
    """The kernel's PTX. Raises ``UnsupportedError`` where NVVM is missing, with the remedy."""
    cuda, numba = importlib.import_module("numba.cuda"), importlib.import_module("numba")
    arguments = [
        numba.types.Array(numba.from_dtype(memory_dtype(np.dtype(buffer.dtype))), len(shape), "C")
        for buffer, shape in zip(kernel.buffers, kernel.shapes, strict=True)
    ]
    arguments += [numba.types.int64] * len(kernel.symbols)
    major, minor = divmod(int(architecture.removeprefix("sm_")), 10)
    function = getattr(compiled(kernel), "py_func", None)
    try:
        text, _ = cuda.compile_ptx(function, tuple(arguments), cc=(major, minor))
    except Exception as error:
        if type(error).__name__ not in ("NvvmSupportError", "CudaSupportError"):
            raise
        raise UnsupportedError(
            f"no PTX without NVVM: {str(error).splitlines()[0]}; "
            "install it with pip install 'tracefuse[cuda]'"
        ) from None
    return str(text)


def resources_of(ptx: str, threads: int, architecture: str = "sm_80") -> Resources:
    """What ``ptxas`` says of one kernel in blocks of ``threads``."""
    said = _assembled(ptx, architecture)
    entry = said[said.rindex("Compiling entry function") :]
    registers = _number(r"Used (\d+) registers", entry)
    shared = _number(r"(\d+) bytes smem", entry)
    spills = _number(r"(\d+) bytes spill stores", entry) + _number(
        r"(\d+) bytes spill loads", entry
    )
    stack = _number(r"(\d+) bytes stack frame", entry)
    return Resources(
        registers, shared, stack, spills, occupancy(registers, shared, threads, architecture)
    )


def _assembled(ptx: str, architecture: str) -> str:
    """What ``ptxas -v`` says. One that is older than NVVM is given the version that it knows: our
    kernels need nothing newer, and it says so if they do."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [find_ptxas(), "-v", f"-arch={architecture}", str(source), "-o", "/dev/null"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    older = re.search(r"Unsupported .version ([\d.]+); current version is '([\d.]+)'", done.stderr)
    if older and f".version {older[1]}" in ptx:
        return _assembled(ptx.replace(f".version {older[1]}", f".version {older[2]}"), architecture)
    if done.returncode:
        raise AssertionError(f"ptxas does not take our PTX: {done.stderr.strip()}")
    return done.stderr


def occupancy(registers: int, shared: int, threads: int, architecture: str) -> float:
    """Threads that fit a multiprocessor at once over those that it could hold."""
    machine = ARCHITECTURES[architecture]
    warps = -(-threads // 32)
    per_warp = -(-registers * 32 // 256) * 256  # registers are given out 256 at a time
    fitting = [machine.blocks, machine.threads // (warps * 32)]
    fitting += [machine.registers // (per_warp * warps)] if registers else []
    fitting += [machine.shared // (shared + 1024)] if shared else []  # a kilobyte is the system's
    return min(fitting) * warps * 32 / machine.threads


def find_ptxas() -> str:
    """The path of ``ptxas``; ``UnsupportedError`` with the remedy where there is none."""
    spec: Any = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        for path in sorted(Path(folder).glob("*/bin/ptxas")):
            return str(path)  # of the same version as the NVVM beside it
    found = shutil.which("ptxas")
    if found:
        return found
    raise UnsupportedError("no ptxas here: pip install nvidia-cuda-nvcc, or a CUDA toolkit")


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
