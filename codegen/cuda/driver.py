"""Bytes, copies, launches and graphs in, calls of ``numba.cuda`` out: all that runs on a GPU.

This is the only file that asks Numba to run anything. ``Driver`` is what the runtime needs;
``NumbaDriver`` is a device, or Numba's simulator. Everything goes through one stream, in order:
nothing here waits for the device but ``download`` and ``synchronize``.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ir.errors import UnsupportedError

Array = npt.NDArray[Any]
LIBRARIES = ("libcuda.so.1", "libcuda.dylib", "nvcuda.dll")
REMEDY = "ask engine.cuda.is_available() first; kernels can be looked at without a GPU"


class Driver(Protocol):
    """A device with one stream. ``raw`` is an allocation, ``at`` an offset into it in bytes."""

    name: str
    simulated: bool
    plain: str  # why launches cannot be recorded into a graph; empty where they can

    def allocate(self, size: int) -> Any:
        """Fresh memory. MemoryError where the device has none left."""
        ...

    def address(self, raw: Any) -> int:
        """Where an allocation lies on the device."""
        ...

    def array(self, raw: Any, at: int, dtype: Any, shape: tuple[int, ...]) -> Any:
        """A part of an allocation as a kernel takes it."""
        ...

    def upload(self, raw: Any, at: int, host: Array) -> None:
        """Bytes of the host onto the device; memory that is not pinned may change at once."""
        ...

    def download(self, raw: Any, at: int, host: Array) -> None:
        """Bytes of the device into ``host``, and wait for them."""
        ...

    def copy(self, target: Any, to: int, source: Any, at: int, size: int) -> None:
        """Bytes from one place of the device to another."""
        ...

    def prepare(self, function: Any, arguments: Sequence[Any]) -> None:
        """Compile and load a kernel for arguments like these."""
        ...

    def launch(self, function: Any, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        """Run a kernel after all that was asked before."""
        ...

    def record(self, work: Callable[[], None]) -> Any:
        """What ``work`` asks, as a graph; nothing of it runs."""
        ...

    def replay(self, graph: Any) -> None:
        """Run a recorded graph."""
        ...

    def mark(self) -> Callable[[], bool]:
        """A question that is answered with True once everything asked so far has happened."""
        ...

    def pinned(self, size: int) -> Array:
        """Bytes of the host that the device reads by itself."""
        ...

    def synchronize(self) -> None:
        """Wait for everything."""
        ...

    def facts(self) -> dict[str, Any]:
        """``capability``, ``total`` and ``free`` bytes."""
        ...


class NumbaDriver:
    """The first CUDA device, or Numba's simulator of one."""

    def __init__(self) -> None:
        _configuration().CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small networks have small grids
        self._cuda: Any = importlib.import_module("numba.cuda")
        self.simulated = simulated()
        self.name, self._capability = "Numba's simulator", (0, 0)
        if not self.simulated:
            device = self._cuda.get_current_device()
            name, self._capability = device.name, tuple(device.compute_capability)
            self.name = name.decode() if isinstance(name, bytes) else str(name)
        self._stream = self._cuda.stream()
        self._calls: Any = None if self.simulated else _driver_calls()
        self.plain = "the simulator runs one launch at a time" if self.simulated else ""

    def allocate(self, size: int) -> Any:
        try:
            return self._cuda.device_array(size, np.uint8)
        except Exception as error:
            if "OUT_OF_MEMORY" in str(error):
                raise MemoryError(f"the device has no {size:,} bytes left") from None
            raise

    def address(self, raw: Any) -> int:
        if self.simulated:
            return int(raw.__array_interface__["data"][0])
        return int(raw.device_ctypes_pointer.value or 0)

    def array(self, raw: Any, at: int, dtype: Any, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size == 0:
            return self._cuda.device_array(shape, dtype)
        return raw[at : at + size].view(dtype).reshape(shape)

    def upload(self, raw: Any, at: int, host: Array) -> None:
        if host.size:
            raw[at : at + host.size].copy_to_device(host, stream=self._stream)

    def download(self, raw: Any, at: int, host: Array) -> None:
        if host.size:
            raw[at : at + host.size].copy_to_host(host, stream=self._stream)
        self._stream.synchronize()

    def copy(self, target: Any, to: int, source: Any, at: int, size: int) -> None:
        if size:
            part = source[at : at + size]
            target[to : to + size].copy_to_device(part, stream=self._stream)

    def prepare(self, function: Any, arguments: Sequence[Any]) -> None:
        if not self.simulated:
            types = tuple(function.typeof_pyval(argument) for argument in arguments)
            function.compile(types).bind()

    def launch(self, function: Any, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        function[blocks, threads, self._stream](*arguments)

    def record(self, work: Callable[[], None]) -> Any:
        stream = int(self._stream.handle)
        mode = importlib.import_module("cuda.bindings.driver").CUstreamCaptureMode
        self._cuda.current_context()
        self._calls.cuStreamBeginCapture(stream, mode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        try:
            work()
        finally:
            graph = self._calls.cuStreamEndCapture(stream)
        runnable = self._calls.cuGraphInstantiate(graph, 0)
        self._calls.cuGraphDestroy(graph)
        return _Graph(runnable, self._calls)

    def replay(self, graph: Any) -> None:
        self._cuda.current_context()
        self._calls.cuGraphLaunch(graph.runnable, int(self._stream.handle))

    def mark(self) -> Callable[[], bool]:
        event = self._cuda.event(timing=False) if not self.simulated else None
        if event is None:
            return lambda: True
        event.record(self._stream)
        done: Callable[[], bool] = event.query
        return done

    def pinned(self, size: int) -> Array:
        found: Array = self._cuda.pinned_array(size, np.uint8)
        return found

    def synchronize(self) -> None:
        self._stream.synchronize()

    def facts(self) -> dict[str, Any]:
        free, total = 0, 0
        if not self.simulated:
            free, total = self._cuda.current_context().get_memory_info()
        return {"capability": self._capability, "total": total, "free": free}


class _Graph:
    """An executable graph, destroyed with its last holder."""

    def __init__(self, runnable: Any, calls: Any) -> None:
        self.runnable, self._calls = runnable, calls

    def __del__(self) -> None:
        try:
            self._calls.cuGraphExecDestroy(self.runnable)
        except Exception:  # at the interpreter's end the driver may be gone
            return


def _configuration() -> Any:
    """Numba's settings for CUDA: numba-cuda's own, or Numba's where only its simulator is there."""
    try:
        return importlib.import_module("numba.cuda.core.config")
    except ImportError:
        return importlib.import_module("numba.core.config")


def _driver_calls() -> Any:
    """The driver's functions, which raise where CUDA reports an error."""
    return importlib.import_module("numba.cuda.cudadrv.driver").driver


def simulated() -> bool:
    """Whether Numba simulates CUDA in this process."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def why_none() -> str:
    """Why there is no device, with the remedy; empty where there is one. Imports Numba last."""
    if simulated():
        return ""
    library = next((one for one in map(_library, LIBRARIES) if one is not None), None)
    if library is None:
        return "no NVIDIA driver was found on this machine (libcuda); install NVIDIA's driver"
    count = ctypes.c_int()
    failed = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if failed:
        return f"NVIDIA's driver fails with error {failed}; nvidia-smi says more"
    if count.value == 0:
        return "NVIDIA's driver finds no GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES"
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed: pip install 'tracefuse[cuda]'"
    cuda = importlib.import_module("numba.cuda")
    if not cuda.is_available():
        return f"numba-cuda cannot use the driver: {cuda.cuda_error()}"
    return ""


def _library(name: str) -> Any:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def open_driver() -> Driver:
    """The device. ``UnsupportedError`` with the reason and the remedy where there is none."""
    reason = why_none()
    if reason:
        raise UnsupportedError(f"no CUDA device: {reason}")
    return NumbaDriver()
