"""The cycle collector rests while steps are compiled, and is as it was afterwards."""

import gc
import multiprocessing
import threading

import pytest

import engine
from engine.uncollected import uncollected


@pytest.fixture(autouse=True)
def collector():
    was = gc.isenabled()
    yield
    (gc.enable if was else gc.disable)()


@pytest.mark.parametrize("before", [True, False])
def test_it_is_as_it_was(before):
    (gc.enable if before else gc.disable)()
    with uncollected(), uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() == before


def test_an_error_wakes_it():
    gc.enable()

    @engine.jit
    def step(x):
        assert not gc.isenabled()
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        step(engine.zeros(2))
    assert gc.isenabled()


def test_the_last_thread_wakes_it():
    gc.enable()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with uncollected():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with uncollected():
        thread.start()
        assert inside.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_what_others_froze_stays_frozen():
    gc.enable()
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with uncollected():
            kept = [[] for _ in range(100)]
        assert gc.get_freeze_count() == frozen
        assert len(kept) == 100
    finally:
        gc.unfreeze()


def _child(pipe):
    pipe.send(gc.isenabled())


def test_a_child_forked_meanwhile_collects():
    gc.enable()
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    with uncollected():
        child = context.Process(target=_child, args=(theirs,))
        child.start()
    assert mine.poll(20)
    assert mine.recv()
    child.join()
