"""Contestants in, their step times out, measured turn by turn in one run.

All workers of a comparison live at the same time and take turns in an order shuffled for every
round, so that a neighbour's noise, a warm chip or a slow minute falls on all alike. A ratio is
taken within each round before it is summarised.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contest import COPY, OURS, Contestant
from kinds import STRICT
from machine import Watch
from process import Worker, WorkerError
from workloads import find

CHECKED_STEPS = 10
SLOW = 0.05  # seconds: a step that needs no hundred repetitions to be timed
SETTLE = 0.03  # seconds between turns: thread pools go to sleep


class DisagreementError(Exception):
    """Contestants that do not compute the same training."""


@dataclass
class Times:
    """What one contestant did: seconds a step for each round, or why it was skipped."""

    contestant: Contestant
    turns: list[float] = field(default_factory=list)
    total: float = 0.0  # seconds measured, all turns
    idle: float = 0.0  # CPU seconds burned while others were measured
    peak: int = 0  # bytes of the process, its start included
    skipped: str = ""

    @property
    def median(self) -> float:
        """Seconds for a step."""
        return statistics.median(self.turns)


@dataclass
class Comparison:
    """One workload at one number of threads."""

    workload: str
    threads: int
    times: list[Times]
    foreign: float  # share of all CPU time that other processes took meanwhile

    def best(self, framework: str) -> Times | None:
        """The framework's fastest way; None where none ran."""
        ran = [t for t in self.times if t.contestant.framework == framework and t.turns]
        return min(ran, key=lambda t: t.median, default=None)

    @property
    def best_peer(self) -> Times | None:
        """The fastest of all that are not ours."""
        ran = [t for t in self.times if t.contestant.framework not in (OURS, COPY) and t.turns]
        return min(ran, key=lambda t: t.median, default=None)

    def ratios(self) -> list[float]:
        """The best peer's time over ours, round by round; empty where one is missing."""
        ours, peer = self.best(OURS), self.best_peer
        if ours is None or peer is None:
            return []
        return [theirs / mine for mine, theirs in zip(ours.turns, peer.turns, strict=True)]


def compare(
    contestants: Sequence[Contestant],
    rounds: int,
    turn_seconds: float,
    caches: Path,
    tell: Callable[[str], None],
) -> Comparison:
    """Start all, check that their losses agree, then measure ``rounds`` rounds.

    Raises DisagreementError before anything is timed. Who cannot run is reported as skipped.
    """
    workers: dict[int, Worker] = {}
    times = [Times(c) for c in contestants]
    try:
        for at, contestant in enumerate(contestants):
            tell(f"starting {contestant}")
            workers[at] = Worker(contestant, caches)
            times[at].skipped = _wait_ready(workers[at])
            if times[at].skipped:
                tell(f"skipped {contestant}: {times[at].skipped}")
                workers.pop(at).close()
        _check_values(workers)
        steps = {at: _steps_for(worker, turn_seconds) for at, worker in workers.items()}
        order, rng = list(workers), random.Random(0)
        watch = Watch([worker.pid for worker in workers.values()])
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            rng.shuffle(order)
            for at in order:
                time.sleep(SETTLE)
                count = steps[at]
                reply = workers[at].ask(do="run", warm=max(1, count // 10), steps=count)
                times[at].turns.append(reply["seconds"])
                times[at].total += reply["seconds"] * count
                times[at].idle += reply["idle"]
        foreign = watch.foreign_share()
        for at, worker in workers.items():
            times[at].peak = worker.ask(do="peak")["peak"]
    finally:
        for worker in workers.values():
            worker.close()
    return Comparison(contestants[0].workload, contestants[0].threads, times, foreign)


def _wait_ready(worker: Worker) -> str:
    """Wait for the first finished step; why a peer cannot run. Ours must: its error is raised."""
    try:
        return str(worker.hear().get("skipped", ""))
    except WorkerError as error:
        if worker.contestant.framework == OURS:
            raise
        return str(error)


def _check_values(workers: dict[int, Worker]) -> None:
    """DisagreementError unless all results of the first steps agree.

    A result is a loss, or a sample of an array: then differences count against its largest entry.
    """
    asked = {at: w for at, w in workers.items() if w.contestant.framework != COPY}
    if not asked:
        return
    workload = find(next(iter(asked.values())).contestant.workload)
    steps = 2 if workload.leaf else CHECKED_STEPS
    curves = {at: w.ask(do="values", steps=steps)["values"] for at, w in asked.items()}
    for step, found in enumerate(zip(*curves.values(), strict=True)):
        for results in zip(*found, strict=True):
            middle = [statistics.median(values) for values in zip(*results, strict=True)]
            for at, values in zip(curves, results, strict=True):
                off = _distance(values, middle)
                if not off <= (workload.tolerance if step else STRICT):
                    raise DisagreementError(
                        f"{workers[at].contestant} is {off:.1e} away from the middle of all at "
                        f"step {step} ({values[0]:.7f}, {middle[0]:.7f}): nothing was timed"
                    )


def _distance(values: list[float], middle: list[float]) -> float:
    """The largest difference, relative to the largest entry."""
    largest = max(map(abs, middle))
    differences = [abs(a - b) for a, b in zip(values, middle, strict=True)]
    if any(map(math.isnan, differences)):
        return math.nan
    return max(differences) / largest if largest else max(differences)


def _steps_for(worker: Worker, seconds: float) -> int:
    """How many steps take about ``seconds``; torch.compile's late recompilations end here too."""
    once = float(worker.ask(do="run", warm=2, steps=2)["seconds"])
    if once < SLOW:
        worker.ask(do="run", warm=3, steps=5)
        once = float(worker.ask(do="run", warm=2, steps=10)["seconds"])
    return min(2000, max(3, math.ceil(seconds / once)))
