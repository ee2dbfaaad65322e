"""Nodes that no kernel computes in, their place between the kernels out.

What LAPACK does well is not generated: the program runs its kernels up to there, calls the op's
meaning in NumPy on its own buffers, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.nest import Buffer
from ir.graph import Node
from ir.interpret import evaluate_node

Array = npt.NDArray[Any]


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

    def run(self, array_of: Callable[[Buffer], Array], env: Mapping[str, int]) -> None:
        """Compute the node. Raises what its meaning raises, with the user's line."""
        found = evaluate_node(self.node, [array_of(one) for one in self.operands], env)
        np.copyto(array_of(self.result), found)


def phase_of(call: Call, phases: Sequence[int]) -> int:
    """When a call happens, where kernels have the even phases of ``phases``."""
    return phases[call.before] - 1 if call.before < len(phases) else max(phases, default=0) + 1
