"""Work in, the calls of CUDA's driver that make a graph of it out; and why there is no device."""

from types import SimpleNamespace

import pytest

from codegen.cuda import driver
from codegen.cuda.driver import NumbaDriver
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
    made = object.__new__(NumbaDriver)
    made._calls, made._stream = Calls(), SimpleNamespace(handle=7)
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
    assert calls.log == [("context",), ("cuGraphLaunch", "runnable", 7)]
    del calls.log[:]
    del graph
    assert calls.log == [("cuGraphExecDestroy", "runnable")]


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
