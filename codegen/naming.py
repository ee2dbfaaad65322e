"""What buffers would like to be called in, names that are identifiers and differ out."""

from __future__ import annotations


class Names:
    """The names given so far."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}  # each with the number to go on from

    def unique(self, name: str) -> str:
        """``name`` itself where it may be one, or something near it: nothing else gets it."""
        clean = "".join(c if c.isalnum() and c.isascii() else "_" for c in name).strip("_") or "t"
        if clean[0].isdigit():
            clean = f"t{clean}"
        found, at = clean, self._given.get(clean, 1)
        while found in self._given:
            at += 1
            found = f"{clean}_{at}"
        self._given[clean] = at
        self._given.setdefault(found, 1)
        return found
