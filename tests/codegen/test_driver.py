"""The driver: every unit once, barriers that hold, many callers, forks, clean exits."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from llvmlite import binding as llvm

from codegen import driver as driver_module
from codegen.driver import BARRIER, Driver
from codegen.driver_text import driver_text
from codegen.native import emit_object, host, load_object

KERNELS = """
; counts[i] += 1 for the thread's share
define void @count(ptr %args, ptr %dims, i64 %begin, i64 %end) {
entry:
  %counts = load ptr, ptr %args
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %p = getelementptr i64, ptr %counts, i64 %i
  %old = load i64, ptr %p
  %new = add i64 %old, 1
  store i64 %new, ptr %p
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %out
out:
  ret void
}

; y[i] += dims[1] * x[dims[0] - 1 - i]: every thread reads what the others wrote
define void @mirror(ptr %args, ptr %dims, i64 %begin, i64 %end) {
entry:
  %x = load ptr, ptr %args
  %y.p = getelementptr ptr, ptr %args, i64 1
  %y = load ptr, ptr %y.p
  %n = load i64, ptr %dims
  %a.p = getelementptr i64, ptr %dims, i64 1
  %a = load i64, ptr %a.p
  %top = sub i64 %n, 1
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %j = sub i64 %top, %i
  %xp = getelementptr i64, ptr %x, i64 %j
  %v = load i64, ptr %xp
  %av = mul i64 %a, %v
  %yp = getelementptr i64, ptr %y, i64 %i
  %w = load i64, ptr %yp
  %s = add i64 %w, %av
  store i64 %s, ptr %yp
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %out
out:
  ret void
}

; shares[begin] = end
define void @share(ptr %args, ptr %dims, i64 %begin, i64 %end) {
  %shares = load ptr, ptr %args
  %p = getelementptr i64, ptr %shares, i64 %begin
  store i64 %end, ptr %p
  ret void
}
"""


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACEFUSE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def kernels():
    return load_object(emit_object(KERNELS), ["count", "mirror", "share"])


@pytest.fixture(params=[1, 2, 3, 4])
def driver(request):
    driver = Driver(request.param)
    yield driver
    driver.close()


class Launches:
    """A launch list and the arrays that it points into."""

    def __init__(self):
        self.rows, self.kept = [], []

    def add(self, kernel, arrays, units, dims=(), flags=0, strips=1, group=1, apart=0):
        args = np.array([array.ctypes.data for array in arrays], np.int64)
        dims = np.array([*dims, 0], np.int64)
        self.kept += [args, dims, arrays]
        place = (kernel, args.ctypes.data, dims.ctypes.data)
        self.rows.append((*place, units, flags, strips, group, apart))
        return self

    def array(self):
        return np.array(self.rows, np.int64).reshape(-1, 8)


@pytest.mark.parametrize("units", [0, 1, 2, 3, 5, 8, 1000])
def test_every_unit_runs_once(driver, kernels, units):
    counts = np.zeros(units + 1, np.int64)
    driver.run(Launches().add(kernels["count"], [counts], units).array())
    assert counts.tolist() == [1] * units + [0]


@pytest.mark.parametrize("units", [1, 2, 7])
@pytest.mark.parametrize("group", [1, 3])
def test_strips_of_a_group_each_run_once(driver, kernels, units, group):
    arrays = [np.zeros(4 * units + 1, np.int64) for _ in range(group)]
    launches = Launches()
    for array in arrays:
        launches.add(kernels["count"], [array], units, strips=4, group=group)
    after = np.zeros(3, np.int64)
    launches.add(kernels["count"], [after], 3)
    driver.run(launches.array())
    assert [array.tolist() for array in arrays] == [[1] * 4 * units + [0]] * group
    assert after.tolist() == [1, 1, 1]


@pytest.mark.parametrize("more", [0, 1])  # for as many threads as there are, or for others
def test_threads_have_arguments_of_their_own(driver, kernels, more):
    counts = np.zeros((driver.threads + more, 60), np.int64)
    table = np.array([[row.ctypes.data] for row in counts], np.int64)
    rows = Launches().add(kernels["count"], [counts], 60, apart=table.strides[0]).array()
    rows[0, 1] = table.ctypes.data
    driver.run(rows, len(counts))
    assert counts.sum(0).tolist() == [1] * 60
    assert counts.sum(1).tolist() == [60 // len(counts)] * len(counts)


@pytest.mark.parametrize("units", [1, 3, 7, 64])
def test_shares_follow_from_units_and_threads_alone(driver, kernels, units):
    shares = np.full(units, -1, np.int64)
    driver.run(Launches().add(kernels["share"], [shares], units).array())
    count = driver.threads
    expected = np.full(units, -1, np.int64)
    for t in range(count):
        begin, end = units * t // count, units * (t + 1) // count
        if begin < end:
            expected[begin] = end
    assert shares.tolist() == expected.tolist()


def mirrored(kernels, length, depth):
    """A chain in which each launch reads all that the one before it wrote, and its value."""
    buffers = [np.zeros(length, np.int64) for _ in range(2)]
    buffers[0][:] = np.arange(length)
    expected = [buffer.copy() for buffer in buffers]
    launches = Launches()
    for i in range(depth):
        source, target, factor = i % 2, 1 - i % 2, i % 3 + 1
        arrays = [buffers[source], buffers[target]]
        launches.add(kernels["mirror"], arrays, length, (length, factor), BARRIER)
        expected[target] += factor * expected[source][::-1]
    return launches, buffers, expected


@pytest.mark.parametrize("length", [1, 3, 257])
def test_barriers_order_dependent_launches(driver, kernels, length):
    for _ in range(20):
        launches, buffers, expected = mirrored(kernels, length, 40)
        driver.run(launches.array())
        np.testing.assert_array_equal(buffers, expected)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_barriers_hold_when_everyone_sleeps_at_once(kernels, threads, monkeypatch):
    monkeypatch.setattr(driver_module, "SPINS", 0)
    monkeypatch.setattr(driver_module, "CROWDED_SPINS", 0)
    driver = Driver(threads)
    for _ in range(30):
        launches, buffers, expected = mirrored(kernels, 64, 40)
        driver.run(launches.array())
        np.testing.assert_array_equal(buffers, expected)
    driver.close()


@pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="names an x86 system")
def test_the_driver_of_systems_without_futexes(kernels, monkeypatch):
    elsewhere = replace(host(), triple="x86_64-apple-darwin")
    monkeypatch.setattr(driver_module, "host", lambda: elsewhere)
    entry = driver_module._entry.__wrapped__()
    monkeypatch.setattr(driver_module, "_entry", lambda: entry)
    driver = Driver(3)
    for _ in range(5):
        launches, buffers, expected = mirrored(kernels, 64, 20)
        driver.run(launches.array())
        np.testing.assert_array_equal(buffers, expected)
        time.sleep(0.002)
    driver.close()


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin"])
def test_the_driver_compiles_for_arm(triple):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(driver_text(triple))
    module.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine(codemodel="default")
    assert "isb" in machine.emit_assembly(module)


@pytest.mark.parametrize("threads", [2, 3])
def test_ten_thousand_runs(kernels, threads):
    driver = Driver(threads)
    counts = np.zeros(64, np.int64)
    launches = Launches().add(kernels["count"], [counts], 64)
    launches.add(kernels["count"], [counts], 64, flags=BARRIER)
    array = launches.array()
    for i in range(10_000):
        driver.run(array)
        if i % 2500 == 0:
            time.sleep(0.002)  # long enough for every worker to fall asleep
    assert set(counts) == {20_000}
    driver.close()


def test_the_caller_alone_runs_every_unit(driver, kernels):
    shares = np.full(7, -1, np.int64)
    driver.run(Launches().add(kernels["share"], [shares], 7).array(), alone=True)
    assert shares.tolist() == [7] + [-1] * 6


def test_alerts_change_nothing(kernels):
    """From another thread, at any time: before a run, in it, after it, and when all has ended."""
    driver, ended = Driver(3), threading.Event()
    counts = np.zeros(64, np.int64)
    array = Launches().add(kernels["count"], [counts], 64).array()

    def call():
        while not ended.is_set():
            driver.alert()

    caller = threading.Thread(target=call)
    caller.start()
    for i in range(2000):
        driver.run(array)
        if i % 100 == 0:
            time.sleep(0.001)
    driver.close()
    ended.set()
    caller.join()
    driver.alert()
    assert set(counts) == {2000}


def test_an_empty_list_is_run(driver):
    driver.run(np.zeros((0, 8), np.int64))


def test_many_python_threads_take_turns(kernels):
    driver = Driver(2)
    counts = np.zeros(100, np.int64)
    array = Launches().add(kernels["count"], [counts], 100).array()

    def call():
        for _ in range(300):
            driver.run(array)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert set(counts) == {1800}
    driver.close()


def native_threads():
    return set(os.listdir("/proc/self/task"))


def settles_at(count, before):
    """Whether so many threads are new; threads of other tests may still be leaving."""
    until = time.monotonic() + 5
    while len(native_threads() - before) != count and time.monotonic() < until:
        time.sleep(0.01)
    return len(native_threads() - before) == count


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="lists threads in /proc")
def test_workers_come_with_the_first_run_and_leave_with_the_driver(kernels):
    before = native_threads()
    driver = Driver(4)
    assert not native_threads() - before
    driver.run(np.zeros((0, 8), np.int64))
    assert settles_at(3, before)
    driver.resize(2)
    driver.run(np.zeros((0, 8), np.int64))
    assert settles_at(1, before)
    del driver
    assert settles_at(0, before)


def test_a_closed_driver_starts_again(kernels):
    driver = Driver(2)
    counts = np.zeros(4, np.int64)
    array = Launches().add(kernels["count"], [counts], 4).array()
    for _ in range(3):
        driver.run(array)
        driver.close()
        driver.close()
    assert set(counts) == {3}


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(8, np.int64),
        np.zeros((1, 5), np.int64),
        np.zeros((1, 8)),
        np.zeros((2, 16), np.int64)[:, ::2],
    ],
)
def test_malformed_lists_are_refused(bad):
    with pytest.raises(ValueError, match="launches"):
        Driver(1).run(bad)


SCRIPT = """
import os, sys, threading, time, warnings
import numpy as np
from codegen.driver import Driver
from codegen.native import emit_object, load_object
warnings.simplefilter("ignore")  # Python warns of any fork beside threads
at = load_object(emit_object({kernels!r}), ["count"])["count"]
counts = np.zeros(8, np.int64)
args = np.array([counts.ctypes.data])
launches = np.array([(at, args.ctypes.data, 0, 8, 1, 1, 1, 0)] * 3, np.int64)
driver = Driver(2)
driver.run(launches)
{body}
"""
FORK = """
busy = threading.Thread(target=lambda: [driver.run(launches) for _ in range(2000)])
busy.start()
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        counts[:] = 0
        driver.run(launches)
        sys.exit(0 if set(counts) == {3} else 1)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5
busy.join()
driver.run(launches)
assert set(counts) == {6006}, counts
"""
DAEMON = """
def forever():
    while True:
        driver.run(launches)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
"""


@pytest.mark.parametrize("body", ["", FORK, DAEMON, "os._exit(0)"])
def test_processes_end_cleanly(body):
    code = SCRIPT.format(kernels=KERNELS, body=body)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_signals_still_reach_python():
    body = """
import signal
woken = []
signal.signal(signal.SIGALRM, lambda *_: woken.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.02)
start = time.monotonic()
while not woken and time.monotonic() < start + 5:
    driver.run(launches)
assert woken
"""
    code = SCRIPT.format(kernels=KERNELS, body=body)
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
