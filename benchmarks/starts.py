"""Contestants in, seconds from process start to the first finished step out, and peak memory.

Cold means that the framework's cache of compiled code is empty, warm that the same process ran
before. The clock starts before the process is spawned and stops when the loss of the first step
has been read: interpreter start, imports, model, compilation and the step itself.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contest import Contestant
from process import Worker
from workloads import find

STEPS, LARGE_STEPS = 50, 3  # run after the first, before memory is read


@dataclass
class Start:
    """One contestant's starts: seconds, and peak bytes of the processes."""

    contestant: Contestant
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    peak_cold: list[int] = field(default_factory=list)
    peak_warm: list[int] = field(default_factory=list)

    @property
    def medians(self) -> tuple[float, float, float, float]:
        """Cold seconds, warm seconds, cold peak bytes, warm peak bytes."""
        cold, warm = statistics.median(self.cold), statistics.median(self.warm)
        peaks = statistics.median(self.peak_cold), statistics.median(self.peak_warm)
        return cold, warm, *peaks


def time_starts(
    contestants: Sequence[Contestant], repeats: int, tell: Callable[[str], None]
) -> list[Start]:
    """Each contestant in turn, cold then warm, ``repeats`` times over."""
    found = [Start(contestant) for contestant in contestants]
    for number in range(repeats):
        for start in found:
            tell(f"start {number + 1} of {repeats}: {start.contestant}")
            caches = Path(tempfile.mkdtemp(prefix="bench-caches-"))
            try:
                for seconds, peaks in (
                    (start.cold, start.peak_cold),
                    (start.warm, start.peak_warm),
                ):
                    took, peak = _start_once(start.contestant, caches)
                    seconds.append(took)
                    peaks.append(peak)
            finally:
                shutil.rmtree(caches, ignore_errors=True)
    return found


def _start_once(contestant: Contestant, caches: Path) -> tuple[float, int]:
    worker = Worker(contestant, caches)
    try:
        took = worker.hear()["first"] - worker.started
        steps = LARGE_STEPS if find(contestant.workload).leaf else STEPS
        worker.ask(do="run", warm=0, steps=steps)
        return took, worker.ask(do="peak")["peak"]
    finally:
        worker.close()
