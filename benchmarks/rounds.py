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

from contest import OURS, Contestant
from machine import Watch
from process import Worker, WorkerError

CHECKED_STEPS = 10
TOLERANCE = 1e-4  # relative, between any two contestants' losses
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
        ran = [t for t in self.times if t.contestant.framework != OURS and t.turns]
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
        _check_losses(workers)
        steps = {at: _steps_for(worker, turn_seconds) for at, worker in workers.items()}
        order, rng = list(workers), random.Random(0)
        watch = Watch([worker.pid for worker in workers.values()])
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            rng.shuffle(order)
            for at in order:
                time.sleep(SETTLE)
                count = steps[at]
                reply = workers[at].ask(do="run", warm=max(2, count // 10), steps=count)
                times[at].turns.append(reply["seconds"])
                times[at].total += reply["seconds"] * count
                times[at].idle += reply["idle"]
        foreign = watch.foreign_share()
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


def _check_losses(workers: dict[int, Worker]) -> None:
    curves = {at: w.ask(do="losses", steps=CHECKED_STEPS)["losses"] for at, w in workers.items()}
    for step, values in enumerate(zip(*curves.values(), strict=True)):
        middle = statistics.median(values)
        for at, value in zip(curves, values, strict=True):
            if not math.isclose(value, middle, rel_tol=TOLERANCE):
                raise DisagreementError(
                    f"{workers[at].contestant} has loss {value:.7f} at step {step}, "
                    f"the middle of all is {middle:.7f}: nothing was timed"
                )


def _steps_for(worker: Worker, seconds: float) -> int:
    """How many steps take about ``seconds``; torch.compile's late recompilations end here too."""
    worker.ask(do="run", warm=3, steps=5)
    once = float(worker.ask(do="run", warm=2, steps=10)["seconds"])
    return min(2000, max(5, math.ceil(seconds / once)))
