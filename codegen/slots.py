"""An array's address in, the arguments of kernels that lie in it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEW = 8  # entries of an array that are set one by one


@dataclass(frozen=True)
class Slots:
    """Entries of the argument table that lie in one array, and how far into it."""

    places: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64] | int  # in bytes
    few: tuple[tuple[int, int], ...]  # the same where there are few: quicker one by one

    @staticmethod
    def of(found: Sequence[tuple[int, int]]) -> Slots:
        places, offsets = (np.array(part, np.int64) for part in zip(*found, strict=True))
        few = tuple(found) if len(found) <= FEW else ()
        return Slots(places, offsets if offsets.any() else 0, few)

    def point(self, table: npt.NDArray[np.int64], address: int) -> None:
        """The array lies at ``address`` now."""
        if not self.few or len(table) > 1:
            table[:, self.places] = address + self.offsets
            return
        row = table[0]
        for place, offset in self.few:
            row[place] = address + offset
