"""A number of bytes as people write it in, an int out."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", 1)}
_UNITS |= {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)}
_BY_LOWER = {name.lower(): size for name, size in _UNITS.items()}


def bytes_of(size: int | str) -> int:
    """``300``, ``"300 MB"`` or ``"1.5 GiB"`` as bytes; ValueError for anything else.

    >>> bytes_of("1.5 KiB")
    1536
    """
    if isinstance(size, int) and not isinstance(size, bool):
        count = float(size)
    else:
        found = (
            re.fullmatch(r"\s*([0-9.]+)\s*([a-zA-Z]*)\s*", size) if isinstance(size, str) else None
        )
        unit = _BY_LOWER.get(found[2].lower()) if found else None
        if found is None or unit is None or found[1].count(".") > 1 or found[1] == ".":
            raise ValueError(
                f"{size!r} is no number of bytes; write 300_000_000, '300 MB', '1.5 GiB'"
            )
        count = float(found[1]) * unit
    if count <= 0:
        raise ValueError(f"{size!r}: a number of bytes is more than 0")
    return int(count)
