"""A jitted step's runs in, whoever wants to know told: progress lines, counts, timings.

Observers see every call after it has succeeded. A step that nobody observes pays one truth test
of an empty list for the possibility.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from engine.entry import Call, Entry


@dataclass(frozen=True)
class Ran:
    """One call of a jitted step.

    ``seconds`` of wall time, tracing and compiling included where ``built``; ``rows`` is the size
    of axis 0 of the first tensor argument (the batch), 0 where there is none. ``call`` holds the
    arguments, which the caller may have changed since.
    """

    name: str
    seconds: float
    result: Any
    rows: int
    program: Entry
    built: bool
    call: Call | None = None


Observer: TypeAlias = Callable[[Ran], None]

observers: list[Observer] = []  # process-wide: a step may run on any thread


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Inside, ``observer`` is called after every call of every jitted step.

    It runs on the calling thread and inside the step's lock: it must be quick, and what it raises
    reaches the step's caller.

    >>> with observing(lambda ran: print(ran.name, ran.seconds)):
    ...     step(x, y)
    """
    observers.append(observer)
    try:
        yield
    finally:
        observers.remove(observer)
