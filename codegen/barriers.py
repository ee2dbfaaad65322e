"""Launches in order in, the places where threads must wait for each other out.

Every thread walks all kernels, each on its share of the units. Two kernels need a barrier between
them only where one thread may touch what another has in hand: not where both share the batch in
the same blocks and keep to their own rows, nor where both are one unit and so run on one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.index import Index, of_axis
from codegen.nest import Buffer
from codegen.schedule import Schedule
from ir.dims import Size


@dataclass(frozen=True)
class Share:
    """How one kernel touches buffers: through rows of its own, or anyhow."""

    reads: Mapping[Buffer, int | None]  # the dimension that is the kernel's own rows, if any
    writes: Mapping[Buffer, int | None]
    rows: Size | None  # the batch's size where units are its blocks
    alone: bool = False  # there is one unit: one thread does it all


def share_of(plan: Schedule) -> Share:
    """What ``plan`` reads and writes, for any sizes."""
    reads: dict[Buffer, int | None] = {}
    for load in plan.nest.loads:
        own = _own_rows(plan, load.index)
        reads[load.buffer] = own if reads.get(load.buffer, own) == own else None
    writes = {root.buffer: _own_rows(plan, root.index) for root in plan.nest.roots}
    rows = plan.vector.extent if plan.by_batch and plan.vector is not None else None
    return Share(reads, writes, rows)


def together(shares: Sequence[Share]) -> Share:
    """Launches that take turns, as one."""
    reads: dict[Buffer, int | None] = {}
    writes: dict[Buffer, int | None] = {}
    for share in shares:
        for all_, own in ((reads, share.reads), (writes, share.writes)):
            all_.update((b, at if all_.get(b, at) == at else None) for b, at in own.items())
    rows = {share.rows for share in shares}
    alone = all(share.alone for share in shares)
    return Share(reads, writes, rows.pop() if len(rows) == 1 else None, alone)


def barriers(shares: Sequence[Share]) -> list[bool]:
    """For each launch whether all threads must have finished those before it."""
    flags: list[bool] = []
    open_: list[Share] = []
    for share in shares:
        wait = any(_conflict(earlier, share) for earlier in open_)
        flags.append(wait)
        open_ = [share] if wait else [*open_, share]
    return flags


def _conflict(first: Share, second: Share) -> bool:
    if first.alone and second.alone:
        return False
    pairs = (
        (first.writes, second.reads),
        (first.reads, second.writes),
        (first.writes, second.writes),
    )
    same_rows = first.rows is not None and first.rows == second.rows
    for a, b in pairs:
        for buffer in a.keys() & b.keys():
            aligned = same_rows and a[buffer] is not None and a[buffer] == b[buffer]
            if not aligned:
                return True
    return False


def _own_rows(plan: Schedule, index: tuple[Index, ...]) -> int | None:
    """The dimension that is exactly the shared batch axis."""
    if not plan.by_batch or plan.vector is None:
        return None
    row = of_axis(plan.vector)
    return next((at for at, part in enumerate(index) if part == row), None)
