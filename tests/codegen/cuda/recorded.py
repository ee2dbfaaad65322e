"""A program over a driver that notes every call in, what a step asks of a device out.

Collected by ``test_recorded.py`` alone, in a process with NUMBA_ENABLE_CUDASIM=1. The driver plays
its calls in the simulator, and keeps those of a recording for the replays: what CUDA's graphs do.
"""

import gc
import weakref

import numpy as np
import pytest

from codegen.cuda.driver import Simulated
from codegen.cuda.run import CudaProgram
from codegen.cuda.runtime import Memory, Pool, Runtime
from ir import make
from ir.graph import Graph
from ir.interpret import interpret
from ir.types import F32, TensorType


class Noting(Simulated):
    """The simulator, with graphs; ``log`` has (what, addresses) of each call in order."""

    def __init__(self, room=1 << 30, refusing=False):
        super().__init__()
        self.plain, self.log, self.recording, self.room = "", [], None, room
        self.refusing, self.streams = refusing, set()

    def allocate(self, size):
        if size > self.room:
            raise MemoryError(f"the device has no {size:,} bytes left")
        self.room -= size
        self.log.append(("allocate", (size,)))
        return super().allocate(size)

    def upload(self, raw, at, host):
        self.note(
            "upload", (self.address(raw) + at,), lambda: super(Noting, self).upload(raw, at, host)
        )

    def download(self, raw, at, host):
        assert self.recording is None, "a recording cannot wait"
        self.log.append(("download", (self.address(raw) + at,)))
        super().download(raw, at, host)

    def copy(self, target, to, source, at, size):
        places = self.address(target) + to, self.address(source) + at
        self.note("copy", places, lambda: super(Noting, self).copy(target, to, source, at, size))

    def launch(self, function, blocks, threads, arguments, stream=0):
        places = tuple(self._address(x) for x in arguments if hasattr(x, "shape") and x.shape)
        run = super().launch
        self.streams.add(stream)
        self.note(function.__name__, places, lambda: run(function, blocks, threads, arguments))

    def synchronize(self):
        self.log.append(("synchronize", ()))

    def note(self, what, places, play):
        self.log.append((what, places))
        if self.recording is None:
            play()
        else:
            self.recording.append(play)

    def record(self, work):
        if self.refusing:
            raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        self.recording = plays = []
        try:
            work()
        finally:
            self.recording = None
        self.log.append(("recorded", (len(plays),)))
        return plays

    def replay(self, graph):
        self.log.append(("replay", (len(graph),)))
        for play in graph:
            play()


def training_step():
    """w -= 0.1 * x'(x w - y), the loss, and the old w: (loss, old w, new w) of (x, y, rate, w)."""
    x, y = (
        make.input_node(TensorType(F32, (4, 3)), "x"),
        make.input_node(TensorType(F32, (4,)), "y"),
    )
    rate, w = (
        make.input_node(TensorType(F32, ()), "rate"),
        make.input_node(TensorType(F32, (3,)), "w"),
    )
    error = make.sub(make.dot(x, w, ((1,), (0,))), y)
    slope = make.dot(x, error, ((0,), (0,)))
    new = make.sub(w, make.mul(slope, make.broadcast(rate, (3,), ())))
    loss = make.sum(make.mul(error, error), (0,))
    return Graph((x, y, rate, w), (loss, w, new))


def steps(count, driver):
    """The program, and what each of its runs returned; its state is never read before the end."""
    runtime = Runtime(driver)
    program = CudaProgram(training_step(), {2: 3}, device=runtime)
    rng = np.random.default_rng(0)
    w = rng.normal(size=3).astype(np.float32)
    state = runtime.upload(w)
    wanted, found = w.copy(), []
    for at in range(count):
        x, y = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32)
        given = [x, y, np.array(0.1 + 0.1 * (at > 2), np.float32)]
        loss, old, new = program.start([*given, state], frozenset({3}))
        assert new is state
        found.append((loss, old, *interpret(training_step(), [*given, wanted])))
        wanted = found[-1][-1]
    return program, state, wanted, found


def test_the_second_step_is_recorded_and_later_ones_replay_it():
    driver = Noting()
    program, state, wanted, found = steps(5, driver)
    words = [what for what, _ in driver.log]
    assert words.count("recorded") == 1
    assert words.count("replay") == 4
    assert "download" not in words
    assert "synchronize" not in words, "nobody has asked for a value"
    start = words.index("recorded")
    assert not [what for what in words[start:] if what.startswith("k")], "only the graph launches"
    for loss, old, *want in found:
        np.testing.assert_allclose(loss.read(), want[0], rtol=1e-5)
        np.testing.assert_allclose(old.read(), want[1], rtol=1e-5)
    np.testing.assert_allclose(state.read(), wanted, rtol=1e-5)
    assert "as one CUDA graph" in program.explain()


def test_order_and_addresses_stay_the_same():
    """Every step asks for the same things at the same addresses, but where it gives results out."""
    driver = Noting()
    runtime = Runtime(driver)
    program = CudaProgram(training_step(), {2: 3}, device=runtime)
    state = runtime.upload(np.ones(3, np.float32))
    x, y = np.ones((4, 3), np.float32), np.ones(4, np.float32)
    asked = []
    for _ in range(2):
        del driver.log[:]
        x = x + 1
        kept = program.start([x, y, np.array(0.1, np.float32), state], frozenset({3}))
        asked.append([entry for entry in driver.log if entry[0] not in ("allocate", "recorded")])
        del kept
    first, second = asked
    launched = [(what, at) for what, at in first if what.startswith("k")]
    assert launched == [(what, at) for what, at in second if what.startswith("k")]
    assert len(launched) == len(program.sources)
    assert sum(what == "upload" for what, _ in first) == 3
    assert sum(what == "upload" for what, _ in second) == 1, "small things are there already"
    places = driver.address(state.on().raw)
    assert any(places in at for _, at in launched), "state is read where it lies"


def test_a_moved_state_is_recorded_again():
    driver = Noting()
    runtime = Runtime(driver)
    program = CudaProgram(training_step(), {2: 3}, device=runtime)
    given = [np.ones((4, 3), np.float32), np.ones(4, np.float32), np.array(0.1, np.float32)]
    results = []
    for state in [runtime.upload(np.ones(3, np.float32)) for _ in range(2)]:
        for _ in range(3):
            program.start([*given, state], frozenset({3}))
        results.append(state.read().tolist())
    assert [what for what, _ in driver.log].count("recorded") == 2
    assert results[0] == results[1]


def test_a_driver_that_does_not_record_is_asked_once():
    driver = Noting(refusing=True)
    program, state, wanted, _ = steps(4, driver)
    assert "STREAM_CAPTURE_UNSUPPORTED" in program.plain_because
    assert "STREAM_CAPTURE_UNSUPPORTED" in program.explain()
    np.testing.assert_allclose(state.read(), wanted, rtol=1e-5)


def test_a_program_in_host_memory_is_the_interpreter():
    graph = training_step()
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=node.shape).astype(np.float32) for node in graph.inputs]
    program = CudaProgram(graph, {2: 3}, device=Runtime(Noting()))
    for _ in range(3):
        wanted = [np.array(value) for value in interpret(graph, arrays)]
        found = program.run(arrays)
        assert found[2] is arrays[3]
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_pool_hands_out_what_was_returned():
    driver = Noting(room=4096)
    pool = Pool(driver)
    first = pool.take(700)
    assert first.size == 1024
    raw = first.raw
    del first
    second = pool.take(1000)
    assert second.raw is raw
    assert (pool.used, pool.most, pool.reserved) == (1024, 1024, 1024)
    with pytest.raises(MemoryError, match=r"no 3,584 bytes left; tensors and programs hold 1,024"):
        pool.take(3500)
    del second
    pool.empty()
    assert (pool.used, pool.reserved) == (0, 0)


def test_an_allocation_outlives_a_cycle_that_holds_its_block():
    """The collector tells weak references (Numba frees by them) before it lets blocks go back."""
    pool, freed = Pool(Noting()), []
    ring = [pool.take(512)]
    weakref.finalize(ring[0].raw, freed.append, True).atexit = False
    ring.append(ring)
    del ring
    gc.collect()
    assert not freed
    assert pool.take(512).raw is not None
    assert pool.reserved == 512
    gc.collect()
    pool.empty()
    assert freed == [True]
    assert pool.reserved == 0


def test_pinned_memory_is_used_again_when_no_view_is_left():
    runtime = Runtime(Noting())
    first = runtime.pinned(np.arange(6, dtype=np.float32).reshape(2, 3))
    place = first.__array_interface__["data"][0]
    part = first[1]
    del first
    other = runtime.pinned(np.zeros(6, np.float32))
    assert other.__array_interface__["data"][0] != place
    assert part.tolist() == [3, 4, 5]
    del part
    assert runtime.pinned(np.ones(7, np.int64)).__array_interface__["data"][0] == place


def test_memory_moves_only_where_it_is_not_the_newest():
    driver = Noting()
    runtime = Runtime(driver)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    memory = runtime.hold(array)
    block = memory.on()
    assert memory.on() is block
    assert memory.read() is array
    array[0] = 7
    memory.wrote()
    assert memory.on() is block
    memory.computed()
    array[:] = 0
    np.testing.assert_array_equal(memory.read(), [[7, 7, 7], [3, 4, 5]])
    assert memory.read() is array
    words = [what for what, _ in driver.log]
    assert (words.count("upload"), words.count("download")) == (2, 1)
    fixed = np.broadcast_to(np.float32(3), (4,))
    spread = runtime.hold(fixed)
    spread.on()
    spread.computed()
    assert spread.read() is not fixed
    np.testing.assert_array_equal(spread.read(), fixed)
    turned = Memory(runtime, (3, 2), array.dtype, host=array.T)
    turned.on()
    turned.computed()
    np.testing.assert_array_equal(turned.read(), array.T)
