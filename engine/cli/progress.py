"""Observed runs in, one live line and the figures of the summary out.

The line goes to the terminal only, never into a file or a pipe. It is erased before the script
prints anything of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from engine import pytree
from engine.entry import Entry
from engine.observe import Ran
from engine.tensor import Tensor

_EVERY = 0.2  # seconds between two redraws
_ERASE = "\r\x1b[2K"


@dataclass
class Tally:
    """What one step has done so far."""

    name: str
    programs: dict[int, Entry] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0  # without the calls that compiled
    timed: int = 0
    loss: float | None = None
    accuracy: float | None = None

    @property
    def speed(self) -> float | None:
        """Steps a second, of the calls that did not compile."""
        return self.timed / self.seconds if self.seconds else None


@dataclass
class Progress:
    """Counts what it observes, and draws where there is a terminal."""

    out: TextIO
    tallies: dict[str, Tally] = field(default_factory=dict)
    _drawn: float = 0.0
    _visible: bool = False

    def observe(self, ran: Ran) -> None:
        """Count one run; redraw if the last line is old."""
        tally = self.tallies.setdefault(ran.name, Tally(ran.name))
        tally.programs[id(ran.program)] = ran.program
        tally.steps += 1
        if not ran.built:
            tally.seconds += ran.seconds
            tally.timed += 1
        now = time.monotonic()
        if self.out.isatty() and now - self._drawn > _EVERY:
            tally.loss, tally.accuracy = measures(ran)
            self._drawn, self._visible = now, True
            self.out.write(_ERASE + line(tally))
            self.out.flush()

    def erase(self) -> None:
        """Take the line away, for other text."""
        if self._visible:
            self._visible = False
            self.out.write(_ERASE)
            self.out.flush()


def measures(ran: Ran) -> tuple[float | None, float | None]:
    """Loss and accuracy of a run: its first scalar float, and its first scalar count of hits.

    A dict that names ``loss`` or ``accuracy`` is taken at its word.
    """
    named = ran.result if isinstance(ran.result, dict) else {}
    loss, accuracy = _number(named.get("loss")), _number(named.get("accuracy"))
    leaves, _ = pytree.flatten(ran.result)
    for leaf in leaves:
        if not (isinstance(leaf, Tensor) and leaf.ndim == 0):
            continue
        if loss is None and leaf.is_floating_point():
            loss = _number(leaf)
        elif accuracy is None and not leaf.is_floating_point() and ran.rows:
            accuracy = float(leaf.item()) / ran.rows
    return loss, accuracy


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor):
        return float(value.item()) if value.ndim == 0 else None
    return float(value) if isinstance(value, int | float) else None


def line(tally: Tally) -> str:
    """One line, short enough for a terminal."""
    parts = [f"{tally.name} {tally.steps}"]
    if tally.loss is not None:
        parts.append(f"loss {tally.loss:.4f}")
    if tally.accuracy is not None:
        parts.append(f"accuracy {tally.accuracy:.1%}")
    if tally.speed is not None:
        parts.append(f"{tally.speed:,.0f} steps/s")
    return "  ".join(parts)[:79]


class _Erasing:
    """A text stream that takes the progress line away before it writes."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self._stream, self._progress = stream, progress

    def write(self, text: str) -> int:
        self._progress.erase()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def shared_terminal(progress: Progress) -> Iterator[None]:
    """Inside, what is printed and the live line do not run into each other."""
    out, err = sys.stdout, sys.stderr
    if progress.out.isatty():
        sys.stdout = _Erasing(out, progress)
        sys.stderr = _Erasing(err, progress)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        progress.erase()
