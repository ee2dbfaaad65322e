"""The Python stack in, the user's line out: the innermost frame outside the engine's packages.

Asked for at every op, so it walks raw frames and keeps one ``Location`` per source line.
"""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType

from ir.graph import Location

_ROOT = Path(__file__).resolve().parents[1]
_OWN = tuple(f"{_ROOT / name}{os.sep}" for name in ("engine", "ir", "codegen"))
_is_own: dict[str, bool] = {}
_known: dict[tuple[str, int], Location] = {}


def is_own_file(file: str) -> bool:
    """Whether a source file belongs to the engine (or to machinery it is called through)."""
    own = _is_own.get(file)
    if own is None:
        own = _is_own[file] = file.startswith((*_OWN, "<frozen")) or file.endswith("contextlib.py")
    return own


def user_frame() -> FrameType | None:
    """The innermost frame that is not the engine's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_own_file(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def user_location() -> Location | None:
    """Where the user asked for what is being done now."""
    frame = user_frame()
    if frame is None:
        return None
    place = (frame.f_code.co_filename, frame.f_lineno)
    found = _known.get(place)
    if found is None:
        found = _known[place] = Location(_shown(place[0]), place[1], _source(*place))
    return found


def _source(file: str, line: int) -> str:
    return linecache.getline(file, line).strip()


def _shown(file: str) -> str:
    """Short where the file lies below the working directory."""
    try:
        here = os.getcwd() + os.sep
    except OSError:  # the working directory was removed
        return file
    return file[len(here) :] if file.startswith(here) else file
