"""Work that makes many long-lived objects in, the same work without the cycle collector out.

Tracing and compiling build tens of thousands of nodes that all stay alive for as long as they are
needed; the collector goes over them again and again and finds nothing, for a tenth of the time.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0  # threads that are in ``uncollected`` now
_wanted = True  # whether the collector ran before the first of them


@contextmanager
def uncollected() -> Iterator[None]:
    """The cycle collector rests until the last thread inside has left; then it is as it was."""
    global _inside, _wanted  # noqa: PLW0603, one collector for the process
    with _lock:
        if not _inside:
            _wanted = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _wanted:
                _age()
                gc.enable()


def _age() -> None:
    """What was made counts as old at once: a collection of the young would go over all of it."""
    if not gc.get_freeze_count():  # else the frozen objects are somebody's who wants them so
        gc.freeze()
        gc.unfreeze()


def _in_child() -> None:
    """A forked child has none of the other threads, so nobody would wake the collector."""
    global _inside  # noqa: PLW0603
    if _inside and _wanted:
        gc.enable()
    _inside = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
    os.register_at_fork(after_in_child=_in_child)
