"""Scheduled nests in, addresses of kernels that Numba compiled out.

Each kernel's module is run under a file name of its own that ``linecache`` knows, so tracebacks
and debuggers show the generated source. Numba's disk cache is not used: it is pickle, and its
key misses what we change.
"""

from __future__ import annotations

import hashlib
import importlib
import linecache
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from codegen.portable.source import emit_source
from codegen.schedule import Schedule
from codegen.vector.module import Module

# Reassociation lets sums vectorise. Not `nnan` and `ninf`: NaN and infinity keep their meaning;
# not `arcp` and `afn`: estimates of a reciprocal turn 1/inf into NaN on some CPUs.
FAST_MATH = {"reassoc", "contract", "nsz"}

_kernels: dict[str, Any] = {}  # compiled entries stay loaded for as long as the process lives
_lock = threading.Lock()


def build_kernels(plans: Sequence[Schedule], dims: Mapping[str, int]) -> tuple[list[int], int]:
    """The address of each nest's kernel, and how many had to be compiled."""
    symbols = Module(plans, dims).names  # equal nests have equal names
    places = str(sorted(dims.items()))
    keys = [hashlib.sha256(f"{symbol} {places}".encode()).hexdigest() for symbol in symbols]
    with _lock:
        missing = {k: plan for k, plan in zip(keys, plans, strict=True) if k not in _kernels}
        for key, plan in missing.items():
            _kernels[key] = _compile(emit_source(plan, plan.nest.name, dims), key, plan.nest.name)
        return [int(_kernels[key].address) for key in keys], len(missing)


def _compile(source: str, key: str, name: str) -> Any:
    """Numba's C callback of a module's kernel."""
    numba = importlib.import_module("numba")  # half a second: only this spelling pays it
    types = numba.types

    file = f"<tracefuse {name} {key[:8]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module: dict[str, Any] = {"__name__": f"tracefuse_{name}"}
    exec(compile(source, file, "exec"), module)
    pointers = types.CPointer(types.voidptr)
    signature = types.void(pointers, types.CPointer(types.int64), types.int64, types.int64)
    callback = numba.cfunc(signature, nopython=True, error_model="numpy", fastmath=FAST_MATH)
    return callback(module[name])
