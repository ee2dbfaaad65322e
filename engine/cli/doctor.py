"""This machine in, a list of what is right and what is missing out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator

import click
import numpy as np

from codegen import compile_graph, get_num_threads
from codegen.cache import shared_cache
from codegen.native import host
from engine import cuda
from engine.cli.cached import size_text, state
from ir import make
from ir.graph import Graph
from ir.types import F32, TensorType

# features that decide how wide vectors are and whether a multiply-add is one instruction
_FEATURES = ("avx512f", "avx512bf16", "amx-tile", "avx2", "fma", "f16c", "neon", "sve")


@click.command()
def command() -> None:
    """Check this machine; exit code 1 if compiled programs do not run here."""
    failed = False
    for title, section in _SECTIONS:
        try:
            lines = list(section())
        except Exception as error:
            failed = True
            lines = [f"FAILED: {type(error).__name__}: {error}"]
        for at, line in enumerate(lines):
            click.echo(f"{title if at == 0 else '':9} {line}")
    sys.exit(1 if failed else 0)


def _versions() -> Iterator[str]:
    llvmlite, llvm = host().key[:2]
    yield f"Python {platform.python_version()} ({sys.executable})"
    yield f"tracefuse {_version('tracefuse') or '(not installed, imported from its sources)'}"
    yield f"numpy {np.__version__}, llvmlite {llvmlite}, LLVM {llvm}"
    yield f"numba {_version('numba') or '(missing: spelling=numba needs it)'}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> Iterator[str]:
    target = host()
    on = {name[1:] for name in target.features.split(",") if name.startswith("+")}
    has = ", ".join(name for name in _FEATURES if name in on) or "no vector extension we know"
    yield f"{target.cpu} ({target.triple}): {has}"
    yield f"{target.vector_registers} vector registers of {target.vector_bits} bits"


def _threads() -> Iterator[str]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    named = os.environ.get("TRACEFUSE_NUM_THREADS", "").strip()
    why = f" (TRACEFUSE_NUM_THREADS={named})" if named else ""
    yield f"{get_num_threads()} threads{why}; {usable} usable CPUs of {os.cpu_count()}"


def _driver() -> Iterator[str]:
    """Compile and run x * 2 + 1, and compare."""
    x = make.input_node(TensorType(F32, (1000,)), "x")
    program = compile_graph(Graph((x,), (make.add(make.mul(x, 2.0), 1.0),)), name="doctor")
    given = np.arange(1000, dtype=np.float32)
    (found,) = program.run([given])
    if not np.array_equal(found, given * 2 + 1):
        raise RuntimeError("a compiled x * 2 + 1 gave wrong numbers")
    where = "from the cache" if program.report.cache_hit else "compiled"
    yield f"ok: a program ran natively, {where} in {program.report.seconds * 1e3:.0f} ms"


def _cache() -> Iterator[str]:
    store = shared_cache()
    entries = store.entries()
    used = size_text(sum(entry.size for entry in entries))
    yield f"{store.folder}: {state()}"
    yield f"{len(entries)} entries, {used} of at most {size_text(store.limit)}"


def _cuda() -> Iterator[str]:
    reason = cuda.why_not()
    if reason:
        yield f"no CUDA device: {reason}"
        yield "kernels can be looked at without one (compile --target cuda)"
    else:
        major, minor = cuda.get_device_capability()
        yield f"{cuda.get_device_name()}, sm_{major}{minor}: tensors and steps can go there"
    installed = _version("numba-cuda")
    yield f"numba-cuda {installed}" if installed else "numba-cuda is not installed"


_SECTIONS: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
    ("versions", _versions),
    ("cpu", _cpu),
    ("threads", _threads),
    ("driver", _driver),
    ("cache", _cache),
    ("cuda", _cuda),
)
