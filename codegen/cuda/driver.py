"""Bytes, copies, launches and graphs in, calls of ``numba.cuda`` out: all that runs on a GPU.

This is the only file that asks Numba to run anything. ``Driver`` is what the runtime needs, and
there is ``Device`` and Numba's simulator. Everything goes through one stream, in order (a recorded
graph may have branches, which end before what comes after it): nothing here waits for the device
but ``download`` and ``synchronize``.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import threading
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

    def launch(
        self, function: Any, blocks: int, threads: int, arguments: Sequence[Any], stream: int = 0
    ) -> None:
        """Run a kernel after all that was asked before of this stream. Only what is recorded has
        others than the first."""
        ...

    def signal(self, stream: int) -> Any:
        """What a stream has been asked so far, for another one to wait for."""
        ...

    def wait(self, stream: int, signal: Any) -> None:
        """What this stream is asked from now on happens after what was signalled."""
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


class Raw:
    """An allocation: Numba's array of its bytes, and where it lies on the device."""

    __slots__ = ("__weakref__", "address", "array")

    def __init__(self, array: Any, address: int) -> None:
        self.array, self.address = array, address


class NumbaDriver:
    """What a device and Numba's simulator have in common."""

    name = "Numba's simulator"
    simulated = True
    plain = "the simulator runs one launch at a time"

    def __init__(self) -> None:
        _configuration().CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small networks have small grids
        self._cuda: Any = importlib.import_module("numba.cuda")
        self._stream = self._cuda.stream()
        self._streams = [self._stream]

    def allocate(self, size: int) -> Any:
        try:
            array = self._cuda.device_array(size, np.uint8)
        except Exception as error:
            if "OUT_OF_MEMORY" in str(error):
                raise MemoryError(f"the device has no {size:,} bytes left") from None
            raise
        return Raw(array, self._address(array))

    def address(self, raw: Any) -> int:
        return int(raw.address)

    def array(self, raw: Any, at: int, dtype: Any, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size == 0:
            return self._cuda.device_array(shape, dtype)
        return raw.array[at : at + size].view(dtype).reshape(shape)

    def launch(
        self, function: Any, blocks: int, threads: int, arguments: Sequence[Any], stream: int = 0
    ) -> None:
        function[blocks, threads, self._numbered(stream)](*arguments)

    def signal(self, stream: int) -> Any:
        event = self._cuda.event(timing=False)
        event.record(self._numbered(stream))
        return event

    def wait(self, stream: int, signal: Any) -> None:
        signal.wait(self._numbered(stream))

    def _numbered(self, stream: int) -> Any:
        while len(self._streams) <= stream:
            self._streams.append(self._cuda.stream())
        return self._streams[stream]

    def pinned(self, size: int) -> Array:
        found: Array = self._cuda.pinned_array(size, np.uint8)
        return found

    def _address(self, array: Any) -> int:
        return int(array.__array_interface__["data"][0])


class Simulated(NumbaDriver):
    """Numba's simulator: everything has happened when it was asked for."""

    def signal(self, stream: int) -> Any:
        return None

    def wait(self, stream: int, signal: Any) -> None:
        pass

    def upload(self, raw: Any, at: int, host: Array) -> None:
        raw.array[at : at + host.size].copy_to_device(host)

    def download(self, raw: Any, at: int, host: Array) -> None:
        raw.array[at : at + host.size].copy_to_host(host)

    def copy(self, target: Any, to: int, source: Any, at: int, size: int) -> None:
        target.array[to : to + size].copy_to_device(source.array[at : at + size])

    def prepare(self, function: Any, arguments: Sequence[Any]) -> None:
        pass

    def record(self, work: Callable[[], None]) -> Any:
        raise UnsupportedError(self.plain)

    def replay(self, graph: Any) -> None:
        raise UnsupportedError(self.plain)

    def mark(self) -> Callable[[], bool]:
        return lambda: True

    def synchronize(self) -> None:
        pass

    def facts(self) -> dict[str, Any]:
        return {"capability": (0, 0), "total": 0, "free": 0}


class Device(NumbaDriver):
    """The first CUDA device. Copies and graphs go to CUDA's driver as Numba calls it."""

    simulated = False
    plain = ""

    def __init__(self) -> None:
        super().__init__()
        device = self._cuda.get_current_device()
        name = device.name
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self._capability = tuple(device.compute_capability)
        self._calls: Any = importlib.import_module("numba.cuda.cudadrv.driver").driver
        self._handle = int(self._stream.handle)
        self._here = threading.local()  # the context that this thread has entered

    def upload(self, raw: Any, at: int, host: Array) -> None:
        if host.size:
            source = host.__array_interface__["data"][0]
            self._enter().cuMemcpyHtoDAsync(raw.address + at, source, host.size, self._handle)

    def download(self, raw: Any, at: int, host: Array) -> None:
        calls = self._enter()
        if host.size:
            target = host.__array_interface__["data"][0]
            calls.cuMemcpyDtoHAsync(target, raw.address + at, host.size, self._handle)
        calls.cuStreamSynchronize(self._handle)

    def copy(self, target: Any, to: int, source: Any, at: int, size: int) -> None:
        if size:
            places = target.address + to, source.address + at
            self._enter().cuMemcpyDtoDAsync(*places, size, self._handle)

    def prepare(self, function: Any, arguments: Sequence[Any]) -> None:
        types = tuple(function.typeof_pyval(argument) for argument in arguments)
        function.compile(types).bind()

    def record(self, work: Callable[[], None]) -> Any:
        mode = importlib.import_module("cuda.bindings.driver").CUstreamCaptureMode
        calls = self._enter()
        calls.cuStreamBeginCapture(self._handle, mode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        try:
            work()
        finally:
            graph = calls.cuStreamEndCapture(self._handle)
        runnable = calls.cuGraphInstantiate(graph, 0)
        calls.cuGraphDestroy(graph)
        return _Graph(runnable, calls)

    def replay(self, graph: Any) -> None:
        self._enter().cuGraphLaunch(graph.runnable, self._handle)

    def mark(self) -> Callable[[], bool]:
        self._enter()
        event = self._cuda.event(timing=False)
        event.record(self._stream)
        done: Callable[[], bool] = event.query
        return done

    def synchronize(self) -> None:
        self._enter().cuStreamSynchronize(self._handle)

    def facts(self) -> dict[str, Any]:
        free, total = self._cuda.current_context().get_memory_info()
        return {"capability": self._capability, "total": total, "free": free}

    def _enter(self) -> Any:
        """The driver's functions, which raise where CUDA reports an error, in this thread."""
        if not hasattr(self._here, "context"):
            self._here.context = self._cuda.current_context()
        return self._calls

    def _address(self, array: Any) -> int:
        return int(array.device_ctypes_pointer.value or 0)


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
    try:
        importlib.import_module("numba.cuda.cudaimpl")  # what every kernel is compiled with
    except Exception as error:
        return (
            f"numba-cuda does not work with NumPy {np.__version__} ({error}); "
            "pip install 'tracefuse[cuda]' takes versions that work together"
        )
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
    return Simulated() if simulated() else Device()
