"""A machine in, its limits out: the kernels compute what they say, the numbers are kept."""

import numpy as np
import pytest

from codegen import machine
from codegen.cache import ObjectCache
from codegen.driver import Driver
from codegen.machine import Level, Peaks, cache_sizes, is_disturbed, measure, peaks
from codegen.machine_text import UNROLL, machine_text, unit_bytes
from codegen.native import emit_object, host

GOOD = Peaks("a cpu", 1, 1e11, 5e10, (Level("L1", 1 << 15, 1e11), Level("memory", 1 << 27, 1e10)))


@pytest.fixture
def store(tmp_path) -> ObjectCache:
    return ObjectCache(tmp_path / "objects")


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """Thread counts that were measured; each measures GOOD, two threads no more than one."""
    asked: list[int] = []

    def pretend(threads, sizes):
        asked.append(threads)
        return Peaks(GOOD.cpu, threads, GOOD.f32 * (2 if threads == 3 else 1), 1.0, GOOD.levels)

    monkeypatch.setattr(machine, "measure", pretend)
    return asked


def run(name: str, threads: int, arrays: list[np.ndarray], units: int, times: int = 1) -> None:
    driver = Driver(threads)
    table = np.array([array.ctypes.data for array in arrays], np.int64)
    count = np.array([times], np.int64)
    row = (machine._kernels()[name], table.ctypes.data, count.ctypes.data, units, 0, 1, 1, 0)
    driver.run(np.array([row], np.int64))
    driver.close()


def test_limits_are_plausible(monkeypatch):
    monkeypatch.setattr(machine, "RUNS", 1)
    monkeypatch.setattr(machine, "SECONDS", 1e-4)
    found = measure(1, (("L1", 1 << 15), ("L2", 1 << 18)))
    assert [level.name for level in found.levels] == ["L1", "L2", "memory"]
    assert all(level.bandwidth > 1e8 for level in found.levels)
    assert found.f32 > 1e8
    assert found.f64 > 1e8


@pytest.mark.parametrize("threads", [1, 2])
def test_triad(threads):
    """``a = b + x * c``, where x is the first vector of b."""
    units, each = 5, unit_bytes(host().vector_bits) // 4
    a, b, c = (machine._aligned(np.full(units * each, value, np.float32)) for value in (0, 3, 4))
    run("triad", threads, [a, b, c], units - 1, times=2)
    assert (a[: (units - 1) * each] == 3 + 3 * 4).all()
    assert (a[(units - 1) * each :] == 0).all()


def test_read_adds_everything_up():
    units, each = 3, unit_bytes(host().vector_bits) // 4
    values = machine._aligned(np.ones(units * each, np.float32))
    ends = machine._aligned(np.zeros(each, np.float32))
    run("read", 1, [ends, values, ends], units, times=4)
    assert (ends == 4 * units).all()
    assert each == UNROLL * host().lanes()


@pytest.mark.parametrize(("name", "dtype"), [("fma_float", np.float32), ("fma_double", np.float64)])
def test_multiply_adds_go_on_from_turn_to_turn(name, dtype):
    """s = s / 2 + 1 from 1: the distance to 2 halves."""
    ends = machine._aligned(np.zeros(64 * 16, dtype))
    halves, ones = (machine._aligned(np.full(16, value, dtype)) for value in (0.5, 1))
    run(name, 1, [ends, halves, ones], 3, times=2)
    assert ends[0] == 2 - 0.5**6


@pytest.mark.parametrize(("bits", "registers"), [(128, 16), (128, 32), (256, 16), (512, 32)])
def test_text_is_accepted_for_every_width(bits, registers):
    assert emit_object(machine_text(bits, registers))


def test_caches_grow_and_are_shared():
    one, two = cache_sizes(1), cache_sizes(2)
    assert [size for _, size in one] == sorted(size for _, size in one)
    assert all(a[1] <= b[1] <= 2 * a[1] for a, b in zip(one, two, strict=True))


def test_caches_of_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPUS", tmp_path)
    assert cache_sizes(4) == (("L1", 128 << 10), ("L2", 2 << 20), ("L3", 8 << 20))


def test_level_is_the_smallest_that_holds_it():
    assert GOOD.level_of(100).name == "L1"
    assert GOOD.level_of(1 << 15).name == "L1"
    assert GOOD.level_of(1 << 40).name == "memory"


def test_limits_are_measured_once(store, measured):
    first = peaks(1, store=store)
    again = peaks(1, store=ObjectCache(store.folder))
    assert (measured, first) == ([1], again)
    peaks(1, anew=True, store=store)
    assert measured == [1, 1]


def test_threads_have_limits_of_their_own(store, measured):
    assert peaks(3, store=store).threads == 3
    assert peaks(1, store=store).threads == 1
    assert measured == [3, 1]


def test_disturbed_limits_are_not_kept(store, measured):
    """Two threads that do no more than one were not alone."""
    assert is_disturbed(peaks(2, store=store), store=store)
    assert peaks(2, store=store).threads == 2
    assert measured == [2, 1, 2]


def test_damaged_limits_are_measured_anew(store, measured):
    peaks(1, store=store)
    (entry,) = store.entries()
    entry.path.write_bytes(b"planted")
    with pytest.warns(match="rebuilt"):
        peaks(1, store=store)
    assert measured == [1, 1]
