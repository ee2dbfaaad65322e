"""Work, times and limits in, what bounds a kernel out."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.machine import Level, Peaks
from codegen.program import Timings
from codegen.roofline import bound_of, roofline_of
from codegen.work import Work
from ir import make
from ir.graph import Graph
from ir.types import F32, TensorType

LEVELS = (Level("L1", 1 << 15, 1e11), Level("memory", 1 << 27, 1e10))
PEAKS = Peaks("a cpu", 1, 1e11, 5e10, LEVELS)
SECONDS, LAUNCH = 1e-4, 1e-6


@pytest.mark.parametrize(
    ("work", "bound"),
    [
        (Work(flops=9_000_000), "compute"),
        (Work(flops=4_500_000, doubles=4_500_000), "compute"),
        (Work(flops=900_000, price=9_000_000.0), "compute"),
        (Work(flops=900_000, bytes=900_000), "memory"),
        (Work(flops=900_000, bytes=90_000), "latency"),
        (Work(), "latency"),
    ],
)
def test_bound(work, bound):
    assert bound_of(work, LEVELS[-1], PEAKS, SECONDS, LAUNCH) == bound


def test_what_is_as_short_as_a_launch_is_overhead():
    work = Work(flops=9_000_000)
    assert bound_of(Work(), LEVELS[0], PEAKS, SECONDS, SECONDS / 1.5) == "overhead"
    assert bound_of(work, LEVELS[0], PEAKS, SECONDS, SECONDS / 1.5) == "compute"
    assert bound_of(work, LEVELS[0], PEAKS, SECONDS, SECONDS * 2) == "overhead"


@pytest.fixture
def program():
    """Two kernels: twice x, and its sum."""
    x = make.input_node(TensorType(F32, (100, 100)), "x")
    twice = make.mul(x, 2.0)
    return compile_graph(Graph((x,), (twice, make.sum(twice, (0, 1)))))


def test_runs_are_timed_apart_and_in_one_piece_by_turns(program):
    program.timings = timings = Timings()
    x = np.ones((100, 100), np.float32)
    for _ in range(4):
        twice, total = program.run([x])
        assert (twice[0, 0], total) == (2.0, 20000.0)
    assert len(timings.runs) == len(timings.whole) == len(timings.empty) == 2
    assert timings.launches == [1] * len(program.plans)
    assert all(seconds > 0 for run in timings.runs for seconds in run)


def test_launches_are_taken_off_and_rows_sorted(program):
    count = len(program.plans)
    spent = [(at + 2) * 1e-3 for at in range(count)]
    timings = Timings([spent] * 3, [1] * count, [1e-3] * 3, [0.0] * 3, [0.5] * 3)
    found = roofline_of("step", program, timings, [0.6, 0.7, 5.0], PEAKS)
    assert [row.seconds for row in found.rows] == pytest.approx(
        [(at + 1) * 1e-3 for at in reversed(range(count))]
    )
    assert found.python == pytest.approx(0.2)
    assert found.between == pytest.approx(0.5 - found.kernels)
    assert found.disturbed


def test_kernel_shorter_than_a_launch_is_brief(program):
    count = len(program.plans)
    timings = Timings([[1.1e-5] * count], [1] * count, [1e-5], [0.0], [1e-4])
    found = roofline_of("step", program, timings, [1e-4], PEAKS)
    assert all(row.brief and row.bound == "overhead" for row in found.rows)
    assert not found.disturbed
