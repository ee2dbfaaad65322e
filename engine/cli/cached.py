"""The object cache in, what it holds, its clearing or its faults out."""

from __future__ import annotations

import sys
import time

import click

from codegen.cache import Entry, shared_cache
from codegen.sealed import distrust

_SHOWN = 12


@click.group("cache")
def command() -> None:
    """The folder of compiled code: TRACEFUSE_CACHE_DIR, or the user's cache folder."""


@command.command()
def show() -> None:
    """Where it is, how full, and the entries used last."""
    store = shared_cache()
    entries = store.entries()
    click.echo(f"folder   {store.folder}")
    click.echo(f"state    {state()}")
    total = sum(entry.size for entry in entries)
    click.echo(f"entries  {len(entries)}, {size_text(total)} of at most {size_text(store.limit)}")
    for entry in entries[:_SHOWN]:
        click.echo(f"  {_entry_text(entry)}")
    if len(entries) > _SHOWN:
        click.echo(f"  and {len(entries) - _SHOWN} used longer ago")


@command.command()
def clear() -> None:
    """Delete every entry; the next start compiles again."""
    store = shared_cache()
    count = store.clear()
    click.echo(f"deleted {count} {'entry' if count == 1 else 'entries'} from {store.folder}")


@command.command()
def verify() -> None:
    """Check owner, rights and checksums; exit code 1 if something is wrong. Deletes nothing."""
    store = shared_cache()
    problems = store.verify()
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        click.echo(
            f"{len(problems)} problem(s); a damaged entry is rebuilt when it is asked for, or run "
            "tracefuse cache clear",
            err=True,
        )
        sys.exit(1)
    click.echo(f"{len(store.entries())} entries in {store.folder} are whole")


def state() -> str:
    """Whether the folder will be used, in words."""
    folder = shared_cache().folder
    if not folder.exists():
        return "not there yet; made at the first compile"
    reason = distrust(folder)
    return f"not used: {reason}" if reason else "in use"


def size_text(size: float) -> str:
    """Bytes for people: ``1.5 MiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _entry_text(entry: Entry) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
    return f"{entry.key[:16]}  {size_text(entry.size):>10}  used {used}"
