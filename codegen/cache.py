"""Key in, object bytes out: compiled code kept on disk between runs of the process.

One file per entry, named by a SHA-256 over everything that shapes the code: the caller's key, the
compiler's own sources, LLVM's version, the CPU and its features. Files are sealed (sealed.py)
and believed only in a folder that nobody else can write. Whatever is wrong with an entry costs
one warning and one rebuild; whatever is wrong with the folder costs one warning and its use. No
pickle: the bytes are object files, and loading them runs nothing.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from codegen.native import emit_objects, host
from codegen.sealed import HEADER, UNFINISHED, DamagedError, distrust, read_sealed, write_sealed

SUFFIX = ".obj"
LENGTH = 8  # bytes that say how long an object of an entry is
DEFAULT_BYTES = 1 << 30
_FORGOTTEN = "compiled code is kept in memory only"
_STALE_SECONDS = 3600.0  # a writer's leftover: no write takes an hour


class CacheWarning(UserWarning):
    """The object cache could not be used, or an entry was damaged and is rebuilt."""


@dataclass(frozen=True)
class Stats:
    """What a cache answered in this process."""

    hits: int = 0
    misses: int = 0
    damaged: int = 0
    stored: int = 0
    evicted: int = 0


@dataclass(frozen=True)
class Entry:
    """What is stored under one key."""

    key: str
    path: Path
    size: int
    used: float  # seconds since the epoch


class ObjectCache:
    """Compiled objects by key, on disk where that is safe, in memory otherwise.

    ``folder`` defaults to TRACEFUSE_CACHE_DIR or the user's cache folder, ``limit`` (bytes, least
    recently used go first) to TRACEFUSE_CACHE_BYTES or 1 GiB. Never raises for a broken cache.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, limit: int | None = None
    ) -> None:
        self.folder = _folder() if folder is None else Path(folder)
        self.limit = _limit() if limit is None else limit
        self._counts = dict.fromkeys(Stats.__dataclass_fields__, 0)
        self._memory: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._usable: bool | None = None  # unknown until first use
        self._writable = True  # until a write fails

    @property
    def stats(self) -> Stats:
        """Counts since this cache was made."""
        return Stats(**self._counts)

    def get(self, key: str) -> bytes | None:
        """The object stored under ``key``, verified, or None."""
        blob = self._memory.get(key)
        if blob is None and self._ready():
            blob = self._read(key)
        self._count("misses" if blob is None else "hits")
        return blob

    def put(self, key: str, blob: bytes) -> None:
        """Store an object; concurrent writers of one key leave one whole entry."""
        if not (self._ready() and self._writable):
            self._memory[key] = blob
        elif HEADER + len(blob) <= self.limit:
            try:
                write_sealed(self._path(key), key, blob)
                self._count("stored")
                self._evict(keep=key)
            except OSError as error:
                self._memory[key] = blob
                self._writable = False
                _warn(f"cannot write to {self.folder}: {error.strerror}; {_FORGOTTEN}")

    def entries(self) -> list[Entry]:
        """What is on disk, most recently used first."""
        found = []
        for path in self._files(SUFFIX):
            with suppress(OSError):
                status = path.stat()
                found.append(Entry(path.stem, path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: (-entry.used, entry.key))

    def clear(self) -> int:
        """Delete every entry; how many there were."""
        self._memory.clear()
        entries = self.entries()
        for entry in entries:
            with suppress(OSError):
                entry.path.unlink()
        return len(entries)

    def verify(self) -> list[str]:
        """Read and check everything; one line for each problem, none deleted."""
        reason = distrust(self.folder)
        problems = [f"{self.folder}: {reason}"] if reason else []
        for entry in self.entries():
            try:
                read_sealed(entry.path, entry.key)
            except (OSError, DamagedError) as error:
                problems.append(f"{entry.path.name}: {error}")
        return problems

    def _read(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            blob = read_sealed(path, key)
        except FileNotFoundError:
            return None
        except (OSError, DamagedError) as error:
            self._count("damaged")
            with suppress(OSError):
                path.unlink()
            _warn(f"{path}: {error}; the code is rebuilt")
            return None
        with suppress(OSError):
            os.utime(path)  # least recently used is judged by this
        return blob

    def _evict(self, keep: str) -> None:
        entries = self.entries()
        excess = sum(entry.size for entry in entries) - self.limit
        for entry in reversed(entries):
            if excess <= 0:
                break
            if entry.key != keep:
                with suppress(OSError):
                    entry.path.unlink()
                excess -= entry.size
                self._count("evicted")
        for path in self._files(UNFINISHED):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def _files(self, suffix: str) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.suffix == suffix]
        except OSError:
            return []

    def _path(self, key: str) -> Path:
        return self.folder / (key + SUFFIX)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _ready(self) -> bool:
        """Whether the folder may be used, decided once."""
        with self._lock:
            if self._usable is None:
                reason = self._open()
                self._usable = not reason
                if reason:
                    _warn(f"{self.folder} {reason}; {_FORGOTTEN}")
            return self._usable

    def _open(self) -> str:
        """Make the folder; why it may not be used, or an empty string."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return f"cannot be made: {error.strerror}"
        return distrust(self.folder)


def _warn(text: str) -> None:
    warnings.warn(f"object cache: {text}", CacheWarning, stacklevel=4)


def _folder() -> Path:
    """TRACEFUSE_CACHE_DIR, or where this system keeps a user's caches."""
    named = os.environ.get("TRACEFUSE_CACHE_DIR", "").strip()
    return Path(named or platformdirs.user_cache_dir("tracefuse")).expanduser().absolute()


def _limit() -> int:
    """TRACEFUSE_CACHE_BYTES as a number."""
    named = os.environ.get("TRACEFUSE_CACHE_BYTES", "").strip()
    if not named:
        return DEFAULT_BYTES
    if not named.isdigit():
        raise ValueError(f"TRACEFUSE_CACHE_BYTES must be a whole number of bytes, got {named!r}")
    return int(named)


@cache
def _sources() -> str:
    """A digest of the compiler itself: its change makes every stored object stale."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for package in ("codegen", "ir"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def entry_key(parts: Sequence[str]) -> str:
    """The content hash of these parts, this compiler, this LLVM and this CPU."""
    digest = hashlib.sha256()
    for part in (*parts, *host().key, _sources()):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


@cache
def shared_cache() -> ObjectCache:
    """The process's one cache."""
    return ObjectCache()


def build_objects(
    key_parts: Sequence[str],
    make_texts: Callable[[], Iterable[str]],
    store: ObjectCache | None = None,
) -> tuple[list[bytes], bool]:
    """The objects for a key and whether they were stored; ``make_texts`` (LLVM), one for each
    object, is called if not."""
    store = store or shared_cache()
    key = entry_key(key_parts)
    entry = store.get(key)
    if entry is not None:
        return _apart(entry), True
    blobs = emit_objects(make_texts())
    store.put(key, b"".join(len(blob).to_bytes(LENGTH, "little") + blob for blob in blobs))
    return blobs, False


def _apart(entry: bytes) -> list[bytes]:
    """The objects of one entry, whose checksum holds: each after its length."""
    found, at = [], 0
    while at < len(entry):
        start = at + LENGTH
        at = start + int.from_bytes(entry[at:start], "little")
        found.append(entry[start:at])
    return found
