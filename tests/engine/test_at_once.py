"""Jitted steps called by several Python threads at once, and on both sides of a fork."""

import os
import threading
import time
import warnings

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn


def network(seed):
    """A small network, its step, and one batch."""
    engine.manual_seed(seed)
    net = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 4))
    optimizer = engine.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    @engine.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(seed)
    x = engine.from_numpy(rng.standard_normal((24, 12), np.float32))
    y = engine.from_numpy(rng.integers(0, 4, 24))
    return step, x, y


def losses(step, x, y, count=30):
    return [step(x, y).item() for _ in range(count)]


def together(*calls):
    """All calls at once, each in a thread; what they give, in order."""
    found, start = [None] * len(calls), threading.Barrier(len(calls))

    def run(at, call):
        start.wait(20)
        found[at] = call()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_threads_compile_and_train_networks_of_their_own():
    alone = [losses(*network(seed)) for seed in range(4)]
    networks = [network(seed) for seed in range(4)]
    assert together(*[lambda n=n: losses(*n) for n in networks]) == alone
    assert len({tuple(row) for row in alone}) == 4


def test_threads_call_one_step():
    """Every call takes effect once: the step counts exactly, whatever the order."""
    total = engine.zeros(33, dtype=engine.int64)

    @engine.jit
    def count(by):
        total.add_(by)
        return by.shape[0]

    def call(size):
        for _ in range(40):
            assert count(engine.ones(33, dtype=engine.int64) * size) == 33

    together(*[lambda size=size: call(size) for size in (1, 2, 3, 4)])
    assert set(total.tolist()) == {400}
    assert len(count.programs) == 1


def test_threads_bring_batch_sizes_of_their_own():
    step, _, _ = network(0)
    rng = np.random.default_rng(0)

    def call(size):
        x = engine.from_numpy(rng.standard_normal((size, 12), np.float32))
        y = engine.from_numpy(np.arange(size) % 4)
        return all(np.isfinite(step(x, y).item()) for _ in range(20))

    assert together(*[lambda size=size: call(size) for size in (5, 24, 40, 17)]) == [True] * 4
    assert len(step.programs) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_goes_on_training():
    """Forked while another thread trains: the child has its own workers and the same state."""
    expected = losses(*network(1), count=20)
    step, x, y = network(1)
    first = losses(step, x, y, count=10)
    other = network(2)
    stop = threading.Event()

    def train():
        while not stop.is_set():
            other[0](*other[1:])

    busy = threading.Thread(target=train)
    busy.start()
    time.sleep(0.2)
    try:
        inbox, outbox = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of any fork beside threads
            child = os.fork()
        if child == 0:
            try:
                os.write(outbox, np.array(losses(step, x, y, count=10)).tobytes())
                other[0](*other[1:])  # which the thread that is not here may have been in
                os.write(outbox, np.array([-1.0]).tobytes())
            finally:
                os._exit(0)
        os.close(outbox)
        text = b"".join(iter(lambda: os.read(inbox, 4096), b""))
        os.waitpid(child, 0)
        mine = losses(step, x, y, count=10)
    finally:
        stop.set()
        busy.join()
    assert first + np.frombuffer(text).tolist() == [*expected, -1.0]
    assert first + mine == expected
