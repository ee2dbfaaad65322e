"""Bytes under a key in, a file that proves itself out.

A stored object becomes machine code in this process, so a file is believed only if it is ours,
nobody else could have written it, and its checksum covers both the key and the bytes: a torn
write, a flipped bit, a renamed or planted file is told from what was stored. Writing goes beside
the target and is renamed into place, so that readers and rival writers only ever see whole files.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

MAGIC = b"tracefuse object 1\n"
HEADER = len(MAGIC) + hashlib.sha256().digest_size
UNFINISHED = ".tmp"  # the suffix of a write that is under way, or was killed
# No links, and no waiting for the other end should it be a pipe.
_READ = os.O_RDONLY | sum(getattr(os, n, 0) for n in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class DamagedError(ValueError):
    """A file is not what was stored."""


def read_sealed(path: Path, key: str) -> bytes:
    """The bytes stored under ``key``, after every check."""
    handle = os.open(path, _READ)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        reason = "is not a plain file" if not stat.S_ISREG(status.st_mode) else _foreign(status)
        if reason:
            raise DamagedError(reason)
        data = file.read()
    if not data.startswith(MAGIC) or len(data) < HEADER:
        raise DamagedError("is not a stored object")
    blob = data[HEADER:]
    if data[len(MAGIC) : HEADER] != _checksum(key, blob):
        raise DamagedError("fails its checksum")
    return blob


def write_sealed(path: Path, key: str, blob: bytes) -> None:
    """Replace ``path`` at once; readable and writable by its owner alone."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + _checksum(key, blob) + blob)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def distrust(folder: Path) -> str:
    """Why nothing from this folder may be run, or an empty string."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return _foreign(status) if stat.S_ISDIR(status.st_mode) else "is not a folder"


def _foreign(status: os.stat_result) -> str:
    """Why someone else may have written this file or folder, or an empty string."""
    if not hasattr(os, "geteuid"):
        return ""
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}"
    if status.st_mode & _OTHERS_WRITE:
        return "can be written by others (chmod go-w)"
    return ""


def _checksum(key: str, blob: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + blob).digest()
