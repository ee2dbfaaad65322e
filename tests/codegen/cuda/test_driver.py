"""Work in, the calls of CUDA's driver that make a graph of it out; and why there is no device."""

import contextlib
import ctypes
import importlib
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from codegen.cuda import driver
from codegen.cuda.driver import Device, Raw
from ir.errors import UnsupportedError


class Calls:
    """Every driver call by name, with its arguments; a recording is called "graph"."""

    def __init__(self):
        self.log = []

    def __getattr__(self, name):
        def call(*args):
            self.log.append((name, *args))
            return {"cuStreamEndCapture": "graph", "cuGraphInstantiate": "runnable"}.get(name)

        return call


def opened():
    """A driver over a stream with the handle 7, without a device."""
    made = object.__new__(Device)
    made._calls, made._stream = Calls(), SimpleNamespace(handle=7)
    made._handle, made._here = 7, threading.local()
    made._cuda = SimpleNamespace(current_context=lambda: made._calls.log.append(("context",)))
    return made, made._calls


def test_a_recording_is_begun_ended_instantiated_and_launched():
    bindings = pytest.importorskip("cuda.bindings.driver", reason="pip install 'tracefuse[cuda]'")
    made, calls = opened()
    graph = made.record(lambda: calls.log.append(("work",)))
    alone = bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert calls.log == [
        ("context",),
        ("cuStreamBeginCapture", 7, alone),
        ("work",),
        ("cuStreamEndCapture", 7),
        ("cuGraphInstantiate", "graph", 0),
        ("cuGraphDestroy", "graph"),
    ]
    del calls.log[:]
    made.replay(graph)
    assert calls.log == [("cuGraphLaunch", "runnable", 7)], "a thread enters its context once"
    del calls.log[:]
    del graph
    assert calls.log == [("cuGraphExecDestroy", "runnable")]


def test_copies_go_through_the_stream_and_only_a_download_waits():
    made, calls = opened()
    one, other, host = Raw(None, 1000), Raw(None, 2000), np.zeros(24, np.uint8)
    place = host.__array_interface__["data"][0]
    made.upload(one, 8, host)
    made.copy(other, 4, one, 8, 24)
    made.copy(other, 4, one, 8, 0)
    assert [entry for entry in calls.log if entry != ("context",)] == [
        ("cuMemcpyHtoDAsync", 1008, place, 24, 7),
        ("cuMemcpyDtoDAsync", 2004, 1008, 24, 7),
    ]
    del calls.log[:]
    made.download(other, 4, host)
    assert calls.log == [
        ("cuMemcpyDtoHAsync", place, 2004, 24, 7),
        ("cuStreamSynchronize", 7),
    ]


def test_parts_of_an_allocation_are_what_kernels_take(monkeypatch):
    """Over Numba's own device array, on a pointer that is none."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM"):
        pytest.skip("the simulator has arrays of its own")
    pytest.importorskip("numba_cuda", reason="pip install 'tracefuse[cuda]'")
    devices = importlib.import_module("numba.cuda.cudadrv.devices")
    arrays = importlib.import_module("numba.cuda.cudadrv.devicearray")
    monkeypatch.setattr(devices._runtime, "ensure_context", contextlib.nullcontext)

    class Pointer:
        def __init__(self, start, size):
            self.start, self.size = start, size
            self.device_ctypes_pointer = ctypes.c_size_t(start)

        def view(self, start, stop=None):
            return Pointer(self.start + start, (stop or self.size) - start)

    made, _ = opened()
    whole = arrays.DeviceNDArray((1024,), (1,), np.uint8, gpu_data=Pointer(4096, 1024))
    raw = Raw(whole, made._address(whole))
    assert made.address(raw) == 4096
    for at, dtype, shape in (
        (0, np.float32, ()),
        (64, np.bool_, (7,)),
        (512, np.int64, (2, 3)),
        (0, np.float32, (16, 16)),
    ):
        part = made.array(raw, at, dtype, shape)
        assert (part.shape, part.dtype) == (shape, np.dtype(dtype))
        assert part.is_c_contiguous()
        assert made._address(part) == 4096 + at


def test_a_recording_that_fails_is_ended():
    pytest.importorskip("cuda.bindings.driver", reason="pip install 'tracefuse[cuda]'")
    made, calls = opened()
    with pytest.raises(ZeroDivisionError):
        made.record(lambda: 1 // 0)
    assert calls.log[-1] == ("cuStreamEndCapture", 7)


def library(init=0, count=1):
    def counted(pointer):
        pointer._obj.value = count
        return 0

    return SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=counted)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "no NVIDIA driver was found.*install NVIDIA's driver"),
        (library(init=100), "driver fails with error 100; nvidia-smi"),
        (library(count=0), "finds no GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES"),
    ],
)
def test_there_is_no_device_for_a_reason(monkeypatch, found, reason):
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(driver, "_library", lambda name: found)
    with pytest.raises(UnsupportedError, match=reason):
        driver.open_driver()


def test_numba_cuda_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(driver, "_library", lambda name: library())
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'tracefuse[cuda]'" in driver.why_none()


def test_a_numpy_that_numba_cuda_does_not_know_is_named(monkeypatch):
    def load(name):
        if name == "numba.cuda.cudaimpl":
            raise AttributeError("module 'numpy' has no attribute 'row_stack'")
        return SimpleNamespace(is_available=lambda: True)

    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(driver, "_library", lambda name: library())
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(driver.importlib, "import_module", load)
    said = driver.why_none()
    assert "row_stack" in said
    assert "pip install 'tracefuse[cuda]'" in said
