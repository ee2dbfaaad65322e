"""A program, its measured times and the machine's limits in, what bounds each kernel out.

A kernel's limit is the roofline's: no launch is faster than its arithmetic at the peak rate, or
its bytes at the bandwidth of the smallest memory level that holds all it touches. What comes
near one of the two is bound by it; what comes near neither waits for something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from codegen.machine import Level, Peaks
from codegen.program import Program, Timings
from codegen.work import Work, work_of
from ir.graph import Location

NEAR = 0.4  # of a limit: what comes this near is bound by it
FEW = 2.0  # launches that do nothing: a kernel no longer than these is overhead
LATE = 3e-5  # seconds for a launch that does nothing: a thread that takes longer had no CPU
LEAST = 1e-7  # seconds: what a clock and two calls can still tell apart


@dataclass(frozen=True)
class Row:
    """One kernel of a step: ``flops``, ``bytes`` and ``seconds`` are of all ``launches``.

    ``limit`` is the least that they can take. ``bound`` says what holds it: "compute", "memory",
    or where neither is near, "overhead" (as short as a launch that does nothing) or "latency".
    Where ``brief``, the time is less than what was taken off it: no ratio of it means much.
    """

    kernel: str
    loc: Location | None
    level: str
    launches: int
    flops: int
    bytes: int
    seconds: float
    limit: float
    bound: str
    brief: bool

    @property
    def gflops(self) -> float:
        """10^9 operations a second."""
        return self.flops / self.seconds / 1e9

    @property
    def gbytes(self) -> float:
        """10^9 bytes a second."""
        return self.bytes / self.seconds / 1e9

    @property
    def share(self) -> float:
        """Of the limit: 1 is as fast as this machine can."""
        return self.limit / self.seconds


@dataclass(frozen=True)
class Roofline:
    """A step held against the machine; times are medians, in seconds.

    ``step`` is a call from Python, ``native`` the same without Python, ``outside`` what LAPACK
    took of it, ``rows`` its kernels, the longest first, each run by itself.
    """

    name: str
    peaks: Peaks
    rows: tuple[Row, ...]
    step: float
    native: float
    outside: float
    launch: float  # a launch that does nothing; taken off the kernels' times

    @property
    def disturbed(self) -> bool:
        """Whether threads came so late that other processes must have used their CPUs."""
        return self.launch > LATE

    @property
    def kernels(self) -> float:
        """The sum of the kernels, each run by itself."""
        return sum(row.seconds for row in self.rows)

    @property
    def limit(self) -> float:
        """The least that the kernels, as they are, can take on this machine."""
        return sum(row.limit for row in self.rows)

    @property
    def between(self) -> float:
        """Barriers and idle threads; negative where kernels that do not wait overlap."""
        return self.native - self.outside - self.kernels

    @property
    def python(self) -> float:
        """Gathering arguments, guards, results."""
        return self.step - self.native


def roofline_of(
    name: str, program: Program, timings: Timings, steps: Sequence[float], peaks: Peaks
) -> Roofline:
    """The rows of ``program``; ``steps`` are seconds of whole calls, interleaved with the runs."""
    launch = median(timings.empty)
    rows = []
    for at, plan in enumerate(program.plans):
        launches = timings.launches[at]
        if launches:
            work = work_of(plan.nest, timings.env)
            level = peaks.level_of(work.footprint)
            limit = launches * max(arithmetic(work, peaks), work.bytes / level.bandwidth)
            seconds = median(run[at] for run in timings.runs) - launches * launch
            seconds = max(seconds, launches * LEAST)
            rows.append(
                Row(
                    plan.nest.name,
                    plan.nest.loc,
                    level.name,
                    launches,
                    launches * work.flops,
                    launches * work.bytes,
                    seconds,
                    limit,
                    bound_of(work, level, peaks, seconds / launches, launch),
                    seconds < launches * launch,
                )
            )
    rows.sort(key=lambda row: -row.seconds)
    native, outside = median(timings.whole), median(timings.outside)
    return Roofline(name, peaks, tuple(rows), median(steps), native, outside, launch)


def arithmetic(work: Work, peaks: Peaks) -> float:
    """Seconds that the operations take at the peak rates of their types."""
    return (work.flops - work.doubles) / peaks.f32 + work.doubles / peaks.f64


def bound_of(work: Work, level: Level, peaks: Peaks, seconds: float, launch: float) -> str:
    """What holds a launch of ``seconds``; an exp or a division counts as what it is priced."""
    if seconds < launch:
        return "overhead"
    rate = peaks.f64 if work.doubles > work.flops // 2 else peaks.f32
    compute = max(arithmetic(work, peaks), work.price / rate) / seconds
    memory = work.bytes / level.bandwidth / seconds
    if max(compute, memory) >= NEAR:
        return "compute" if compute >= memory else "memory"
    return "overhead" if seconds < FEW * launch else "latency"
