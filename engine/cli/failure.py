"""An exception from a user's script in, a few lines out: his line first, then what is wrong."""

from __future__ import annotations

import linecache
import os
import re
import site
import sysconfig
import traceback
from types import TracebackType

import click

from engine.locate import is_own_file

MOST_LINES = 12
_PLACE = re.compile(r"\S.*\.py:\d+(: |$)")  # our errors open with the user's line
_FOREIGN = tuple(
    path
    for path in (
        *sysconfig.get_paths().values(),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
    if path != sysconfig.get_paths()["data"]  # the prefix: a project may lie below it
)


def report(error: BaseException, full: bool) -> None:
    """Print ``error`` to stderr: a whole traceback where ``full``, else at most twelve lines."""
    if full:
        text = "".join(traceback.format_exception(error)).rstrip()
    else:
        text = "\n".join(explain(error))
    click.echo(text, err=True)


def explain(error: BaseException) -> list[str]:
    """The user's line, the error's kind and text; cut to what a person reads."""
    said = str(error).splitlines()
    where = _place(error)
    kind = type(error).__name__
    if said and _PLACE.match(said[0]):
        lines = [said[0], f"{kind}: {said[1]}" if len(said) > 1 else kind, *said[2:]]
    else:
        first = f"{kind}: {said[0]}" if said else kind
        lines = [*([where] if where else []), first, *said[1:]]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], "... (--traceback shows everything)"]
    return lines


def _place(error: BaseException) -> str:
    """``file:line: source`` of the innermost frame that is the user's own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}: {(error.text or '').strip()}"
    found = ""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        file, line = step.tb_frame.f_code.co_filename, step.tb_lineno
        if not is_own_file(file) and not file.startswith((*_FOREIGN, "<")):
            found = f"{_shown(file)}:{line}: {linecache.getline(file, line).strip()}"
        step = step.tb_next
    return found


def _shown(file: str) -> str:
    """Short where the file lies below the working directory."""
    here = os.path.join(os.getcwd(), "")
    return file.removeprefix(here)
