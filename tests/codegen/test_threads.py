"""How many threads there are, and on which CPUs they may run."""

import os
import time

import numpy as np
import pytest

from codegen import driver as driver_module, threads as threads_module
from codegen.driver import Driver, get_num_threads, set_num_threads, shared_driver
from codegen.threads import default_threads


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no sets of CPUs here")
@pytest.mark.parametrize("threads", [2, 64])
def test_workers_keep_off_the_cpu_that_calls(threads):
    """A system that saves power would wake them there; with too few CPUs they go anywhere."""
    allowed = os.sched_getaffinity(0)
    if threads == 2 and len(allowed) < 2:
        pytest.skip("one CPU")
    driver, nothing = Driver(threads), np.zeros((0, 8), np.int64)
    try:
        driver.run(nothing)
        time.sleep(0.05)  # until every worker has said who it is
        for cpu in sorted(allowed)[:2] * 2:
            os.sched_setaffinity(0, {cpu})
            driver.run(nothing)
            os.sched_setaffinity(0, allowed)
            off = {cpu} if threads <= len(allowed) else set()
            for number in driver._pool._records[:, 2]:
                assert os.sched_getaffinity(int(number)) == allowed - off
    finally:
        os.sched_setaffinity(0, allowed)
        driver.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts switches in /proc")
def test_an_alert_wakes_sleeping_workers():
    driver = Driver(2)
    driver.run(np.zeros((0, 8), np.int64))
    time.sleep(0.05)
    worker = int(driver._pool._records[0, 2])
    before = switches(worker)
    time.sleep(0.02)
    assert switches(worker) == before
    driver.alert()
    time.sleep(0.05)
    assert switches(worker) == before + 1  # back to sleep: nothing came
    driver.close()


def switches(thread):
    """How often a native thread has gone to sleep."""
    with open(f"/proc/self/task/{thread}/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["voluntary_ctxt_switches"])


def test_thread_counts(monkeypatch):
    monkeypatch.setenv("TRACEFUSE_NUM_THREADS", "3")
    assert default_threads() == 3
    for bad in ("0", "-1", "two"):
        monkeypatch.setenv("TRACEFUSE_NUM_THREADS", bad)
        with pytest.raises(ValueError, match="TRACEFUSE_NUM_THREADS"):
            default_threads()
    monkeypatch.delenv("TRACEFUSE_NUM_THREADS")
    assert 1 <= default_threads() <= threads_module.available_cpus()
    before = get_num_threads()
    set_num_threads(2)
    assert get_num_threads() == shared_driver().threads == 2
    with pytest.raises(ValueError, match="positive"):
        set_num_threads(0)
    set_num_threads(before)


def test_a_thread_that_cannot_start_is_an_error(monkeypatch):
    def refuse(*_):
        raise OSError(11, "no worker thread")

    monkeypatch.setattr(driver_module, "start_thread", refuse)
    driver = Driver(2)
    with pytest.raises(OSError, match="no worker thread"):
        driver.run(np.zeros((0, 8), np.int64))
    monkeypatch.undo()
    driver.run(np.zeros((0, 8), np.int64))
    driver.close()
