"""Orders as JSON lines in, measurements as JSON lines out: one contestant in a process of its own.

The first line comes by itself, once the first step has finished. Between orders the process waits
in a read: it burns no CPU while others are measured, and each reply says what it burned anyway
(a runtime's threads may spin for a while).

This file imports only the standard library until its CPUs are set, so that every thread pool of
every framework starts with the same view of the machine.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from typing import IO, Any

from contest import MODULES, Contestant, Running, UnavailableError

BATCHES = 8
SAMPLES = 256


def main() -> None:
    """Serve one contestant, named by the command line, until standard input ends."""
    replies = _private_stdout()
    contestant = Contestant(**json.loads(sys.argv[1]))
    cpus = json.loads(sys.argv[2])
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    try:
        running: Running = importlib.import_module(MODULES[contestant.framework]).prepare(
            contestant, BATCHES
        )
        running.finish(running.step(*running.batches[0]))
        reply: dict[str, Any] = {"first": time.monotonic()}
    except (ImportError, UnavailableError) as error:
        _send(replies, {"skipped": str(error).splitlines()[0]})
        return
    _send(replies, reply)
    _serve(running, replies)


def _serve(running: Running, replies: IO[str]) -> None:
    burned = time.process_time()
    for line in sys.stdin:
        order = json.loads(line)
        idle = time.process_time() - burned
        if order["do"] == "values":
            reply: dict[str, Any] = {"values": values(running, order["steps"])}
        elif order["do"] == "run":
            reply = run(running, order["warm"], order["steps"])
        else:
            reply = {"peak": peak_bytes()}
        _send(replies, reply | {"idle": idle})
        burned = time.process_time()


def values(running: Running, steps: int) -> list[list[list[float]]]:
    """Samples of every result of each of the first steps from the first weights."""
    running.restore()
    return [
        [_sampled(array) for array in running.finish(running.step(*_batch(running, at)))]
        for at in range(steps)
    ]


def _sampled(array: Any) -> list[float]:
    """At most ``SAMPLES`` numbers from all over an array."""
    flat = array.reshape(-1)
    return [float(x) for x in flat[:: max(1, -(-flat.size // SAMPLES))]]


def run(running: Running, warm: int, steps: int) -> dict[str, float]:
    """Seconds for one step, over ``steps`` steps after ``warm`` that are not counted.

    Always from the first weights: steps late in a training run would meet other numbers
    (denormals among them) than those of a contestant who ran fewer.
    """
    running.restore()
    found = None
    for at in range(warm):
        found = running.step(*_batch(running, at))
    if found is not None:
        running.finish(found)
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    for at in range(steps):
        found = running.step(*_batch(running, at))
    running.finish(found)
    seconds = (time.perf_counter() - started) / steps
    gc.enable()
    return {"seconds": seconds}


def peak_bytes() -> int:
    """The most memory that this program held at once.

    Linux hands a parent's peak down through exec in ``ru_maxrss``; VmHWM is this program's own.
    """
    try:
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _batch(running: Running, at: int) -> tuple[Any, Any]:
    return running.batches[at % len(running.batches)]


def _private_stdout() -> IO[str]:
    """Standard output for replies alone: what a framework prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def _send(replies: IO[str], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
