"""What each launch of a step touches in, which launches may run side by side out.

A step's graph need not be a chain: a launch waits for those that wrote what it reads, and for those
that read or wrote what it writes, by bytes of memory, since the arena gives bytes out again. Its
launches are spread over a few streams, in an order that asks for few waits between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 6  # streams: more than that are hardly ever busy at once


@dataclass(frozen=True)
class Touch:
    """Bytes from ``start`` on, up to ``stop``, and whether they are written."""

    start: int
    stop: int
    written: bool


@dataclass
class Turn:
    """A launch's stream, which launches of other streams it waits for, whether any waits for it."""

    stream: int
    waits: tuple[int, ...]
    signals: bool = False


def turns_of(launches: Sequence[Sequence[Touch]], most: int = MOST) -> list[Turn]:
    """One turn for each launch, in order."""
    found: list[Turn] = []
    behind: list[int] = []  # for each launch, all that have happened when it begins, as bits
    last: list[int] = []  # the latest launch of each stream
    seen: list[int] = []  # for each stream, what has happened when its latest launch ends, as bits
    for number, needs in enumerate(_needs(launches)):
        before = 0
        for other in needs:
            before |= behind[other] | 1 << other
        stream = _stream(needs, before, last, most)
        if stream == len(last):
            last.append(number)
            seen.append(0)
        known = seen[stream]
        waits = []
        for other in sorted(needs, reverse=True):
            if not known >> other & 1:
                waits.append(other)
                found[other].signals = True
                known |= behind[other] | 1 << other
        found.append(Turn(stream, tuple(reversed(waits))))
        behind.append(known)
        last[stream], seen[stream] = number, known | 1 << number
    return found


def _needs(launches: Sequence[Sequence[Touch]]) -> list[set[int]]:
    """For each launch, the latest others that it may not overtake."""
    active: list[tuple[int, Touch]] = []
    found = []
    for number, touches in enumerate(launches):
        needs = set()
        for touch in touches:
            for other, old in active:
                if (old.written or touch.written) and (
                    old.start < touch.stop and touch.start < old.stop
                ):
                    needs.add(other)
        written = [touch for touch in touches if touch.written]
        active = [
            (other, old)
            for other, old in active
            if not any(new.start <= old.start and old.stop <= new.stop for new in written)
        ]
        active += [(number, touch) for touch in touches]
        found.append(needs)
    return found


def _stream(needs: set[int], before: int, last: Sequence[int], most: int) -> int:
    """Where a launch goes: behind one that it needs, the latest; else behind one that it comes
    after anyway; else on a new stream, or, where there are enough, on the one longest at rest."""
    direct = [stream for stream, other in enumerate(last) if other in needs]
    if direct:
        return max(direct, key=lambda stream: last[stream])
    after = [stream for stream, other in enumerate(last) if before >> other & 1]
    if after:
        return max(after, key=lambda stream: last[stream])
    if len(last) < most:
        return len(last)
    return min(range(len(last)), key=lambda stream: last[stream])
