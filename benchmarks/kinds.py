"""What a workload is: a family of networks, its sizes, and how it is trained. Standard library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
DECAY = 0.01  # AdamW's
STRICT = 1e-4  # relative: what all results of step 0 must keep to


@dataclass(frozen=True)
class Workload:
    """One family with its sizes; without an optimizer it is inference or the gradient of a leaf."""

    title: str
    family: str
    batch: int
    optimizer: str
    rate: float
    sizes: dict[str, Any]
    tolerance: float = STRICT  # relative, from the middle of all contestants, after step 0
    beta1: float = BETA1

    @property
    def leaf(self) -> bool:
        """Whether the gradient is that of one large leaf: no network, no weights."""
        return self.family in ("chain", "reductions")

    @property
    def least_bytes(self) -> int:
        """What any program must move: the leaf read once, its gradient written once."""
        return 2 * 4 * self.sizes["rows"] * self.sizes["columns"] if self.leaf else 0
