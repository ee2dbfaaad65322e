"""What an epilogue reads and writes in, requests for it while the sum before it runs out.

Arrays that were written milliseconds ago lie in memory. Asked for all at once they would keep the
sum's own loads waiting, so each row of the register tile has its part of the sum.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from codegen.index import Axis
from codegen.nest import Load
from codegen.schedule import Schedule
from codegen.vector.address import Env, Linear
from codegen.vector.builder import Value
from codegen.vector.memory import Memory


@dataclass(frozen=True)
class Ahead:
    """``loads`` (and whether each is written) at the points of every row of the tile."""

    loads: Sequence[tuple[Load, bool]]
    rows: Sequence[Sequence[Env]]

    def fits(self, loops: Sequence[Axis], plan: Schedule, bent: Collection[Axis]) -> bool:
        """Whether the outermost loop is plain, and long enough to ask for a row in each part."""
        if not loops or len(self.rows) < 2 or loops[0] in bent:
            return False
        plain = loops[0] not in plan.unroll and loops[0] != plan.vector
        extent = loops[0].extent
        return plain and isinstance(extent, int) and extent >= 2 * len(self.rows)

    def ask_all(self, memory: Memory) -> None:
        """Ask for everything now."""
        for load, written in self.loads:
            for row in self.rows:
                for env in row:
                    memory.prefetch(load, _at(memory, load, env), written)

    def ask(self, memory: Memory, number: Value) -> None:
        """Ask for one row, whose number is only known at run time."""
        for load, written in self.loads:
            for at, env in enumerate(self.rows[0]):
                first = _at(memory, load, env)
                step = _between(first, _at(memory, load, self.rows[1][at]))
                if step is not None:
                    moved = Linear((*first.terms, (number, step)), first.offset, first.step)
                    memory.prefetch(load, moved, written)


def _at(memory: Memory, load: Load, env: Env) -> Linear:
    return memory.addressing.offset(load.buffer, load.index, env)


def _between(first: Linear, second: Linear) -> int | None:
    """The constant distance of two addresses; None where there is none."""
    apart = second.plus(first, -1)
    return None if apart.terms or apart.extra or apart.step else apart.offset
