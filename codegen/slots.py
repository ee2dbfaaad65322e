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
    def of(parts: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | int]]) -> Slots:
        """Of entries with one offset for all, or one for each."""
        if len(parts) == 1:
            places, offsets = parts[0]
        else:
            places = np.concatenate([places for places, _ in parts])
            offsets = np.concatenate([np.broadcast_to(o, p.shape) for p, o in parts])
        few: tuple[tuple[int, int], ...] = ()
        if len(places) <= FEW:
            each = np.broadcast_to(offsets, places.shape)
            few = tuple(zip(places.tolist(), each.tolist(), strict=True))
        return Slots(places, offsets, few)

    def point(self, table: npt.NDArray[np.int64], address: int) -> None:
        """The array lies at ``address`` now."""
        if not self.few or len(table) > 1:
            table[:, self.places] = address + self.offsets
            return
        row = table[0]
        for place, offset in self.few:
            row[place] = address + offset
