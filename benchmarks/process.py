"""A contestant in, a live worker process out, with its own environment and CPUs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contest import Contestant

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 900.0  # seconds: torch.compile may take minutes on a busy machine
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


class WorkerError(Exception):
    """A worker ended or said nothing in time; the message carries its last words."""


class Worker:
    """One contestant's process. ``started`` is the clock before it was spawned."""

    def __init__(self, contestant: Contestant, caches: Path) -> None:
        self.contestant = contestant
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        arguments = [contestant.to_json(), json.dumps(cpus(contestant.threads))]
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            command + arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(contestant.threads, caches),
        )
        self._pending = b""

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send one order, wait for its reply."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words("ended")) from None
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next reply; WorkerError where none comes."""
        assert self._process.stdout is not None
        end = time.monotonic() + PATIENCE
        out = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            left = max(0.0, end - time.monotonic())
            if not select.select([out], [], [], left)[0]:
                raise WorkerError(self._last_words(f"said nothing for {PATIENCE:.0f} s"))
            piece = os.read(out, 1 << 16)
            if not piece:
                raise WorkerError(self._last_words("ended"))
            self._pending += piece
        line, self._pending = self._pending.split(b"\n", 1)
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process; kill it where it does not end by itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended already
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _last_words(self, what: str) -> str:
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()]
        return f"{self.contestant} {what}: " + " / ".join(lines[-2:])[:300]


def environment(threads: int, caches: Path) -> dict[str, str]:
    """The worker's variables: thread counts, and every framework's cache under ``caches``."""
    count = str(threads)
    flags = [os.environ.get("XLA_FLAGS", "")]
    if threads == 1:
        flags += ["--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1"]
    return os.environ | {
        "PYTHONPATH": str(ROOT),  # this checkout, installed or not
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "TRACEFUSE_NUM_THREADS": count,
        "XLA_FLAGS": " ".join(flags).strip(),
        "JAX_PLATFORMS": "cpu",
        "TRACEFUSE_CACHE_DIR": str(caches / "tracefuse"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
    }


def cpus(threads: int) -> list[int]:
    """The CPUs that ``threads`` threads may use, one of each core before any core's second.

    The last cores first: CPU 0 has interrupts to serve. Empty where CPUs cannot be chosen.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    ranked: dict[str, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0), reverse=True):
        try:
            core = Path(_TOPOLOGY.format(cpu)).read_text()
        except OSError:
            core = str(cpu)
        ranked.setdefault(core, []).append(cpu)
    order = [
        cpu for _, cpu in sorted((at, -cpu) for c in ranked.values() for at, cpu in enumerate(c))
    ]
    return [-cpu for cpu in order[:threads]]
