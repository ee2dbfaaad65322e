"""Nodes that no kernel computes in, their place between the kernels out.

What LAPACK or NumPy's sorts do well is not generated: the program runs its kernels up to there,
calls the op's meaning in NumPy on its own buffers, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.nest import Buffer
from ir.graph import Node
from ir.interpret import evaluate_node

Array = npt.NDArray[Any]
Slices = tuple[Any, ...]
SHARE = 1 << 17  # places in an order that are worth a thread, which often waits for the GIL
READ = 8  # elements from which a few are chosen take as long as one place


@dataclass(frozen=True)
class Call:
    """``result = node(operands)``, before the nest number ``before``."""

    before: int
    node: Node
    operands: tuple[Buffer, ...]
    result: Buffer

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        return (*self.operands, self.result)

    def run(
        self, array_of: Callable[[Buffer], Array], env: Mapping[str, int], threads: int = 1
    ) -> None:
        """Compute the node. Raises what its meaning raises, with the user's line."""
        operands, result = [array_of(one) for one in self.operands], array_of(self.result)

        def part(at: Slices) -> None:
            np.copyto(result[at], evaluate_node(self.node, [x[at] for x in operands], env))

        first, *others = _shares(self.node, operands[0], result, threads)
        if not others:
            part(first)
            return
        with ThreadPoolExecutor(len(others)) as pool:  # NumPy sorts without the GIL
            found = [pool.submit(part, at) for at in others]
            part(first)
        for one in found:
            one.result()


def _shares(node: Node, operand: Array, result: Array, threads: int) -> list[Slices]:
    """Parts of the operands that may be computed side by side: rows that are put in order."""
    shape = operand.shape
    rows = [axis for axis in range(len(shape)) if axis != node.attrs.get("axis")]
    count = min(threads, (result.size + operand.size // READ) // SHARE)
    if node.op.name != "argsort" or not rows or count < 2:
        return [(...,)]
    longest = max(rows, key=lambda axis: shape[axis])
    count, ahead = min(count, shape[longest]), (slice(None),) * longest
    cuts = [shape[longest] * at // count for at in range(count + 1)]
    return [(*ahead, slice(a, b)) for a, b in pairwise(cuts)]


def phase_of(call: Call, phases: Sequence[int]) -> int:
    """When a call happens, where kernels have the even phases of ``phases``."""
    return phases[call.before] - 1 if call.before < len(phases) else max(phases, default=0) + 1
