"""The keywords that say where memory lies in, an error out where that is not plain CPU memory.

PyTorch's creation functions take them all; here there is one device and one layout, so they are
checked and have no effect.
"""

from __future__ import annotations

from typing import Any, TypedDict

from engine.errors import Unsupported, message
from engine.locate import user_location


class Placement(TypedDict, total=False):
    """``device``, ``layout``, ``pin_memory`` and ``memory_format``, as PyTorch names them."""

    device: Any
    layout: Any
    pin_memory: Any
    memory_format: Any


def check(place: Placement) -> None:
    """TypeError for an unknown keyword; RuntimeError for what is not a dense tensor on the CPU."""
    for name, value in place.items():
        if name not in Placement.__optional_keys__:
            raise TypeError(message(user_location(), f"unexpected keyword argument {name!r}"))
        if value is None or name == "memory_format":
            continue
        if name == "device" and str(value).split(":", maxsplit=1)[0] != "cpu":
            text = f"there is no device {str(value)!r}; only 'cpu'"
            raise Unsupported(message(user_location(), text))
        if name == "layout" and "strided" not in str(value):
            raise Unsupported(message(user_location(), f"there is no layout {value}"))
        if name == "pin_memory" and value:
            raise Unsupported(message(user_location(), "memory is not pinned: there is no GPU"))
