"""The keywords that say where memory lies in, the device that they name out.

PyTorch's creation functions take them all. There is one layout, and pinned memory comes from
``pin_memory()``; what else is asked for is refused with the reason.
"""

from __future__ import annotations

import sys
from typing import Any, TypedDict

from engine.device import home_of, no_cuda
from engine.errors import Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.storage import CPU


class Placement(TypedDict, total=False):
    """``device``, ``layout``, ``pin_memory`` and ``memory_format``, as PyTorch names them."""

    device: Any
    layout: Any
    pin_memory: Any
    memory_format: Any


def check(place: Placement) -> str | None:
    """The device that is asked for, None where none is.

    TypeError for an unknown keyword; RuntimeError for a device that is not there, and for what is
    no dense tensor.
    """
    home = None
    for name, value in place.items():
        if name not in Placement.__optional_keys__:
            raise TypeError(message(user_location(), f"unexpected keyword argument {name!r}"))
        if value is None or name == "memory_format":
            continue
        if name == "device":
            home = home_of(value)
        if name == "layout" and "strided" not in str(value):
            raise Unsupported(message(user_location(), f"there is no layout {value}"))
        if name == "pin_memory" and value and no_cuda():
            raise Unsupported(message(user_location(), "memory is not pinned: there is no GPU"))
    return home


def default_home() -> str | None:
    """The default device for a tensor that the user's code makes without one; none for one that
    the engine makes on the way to a result, which goes along with the user's tensors."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _MAKERS:
        frame = frame.f_back
    name = str(frame.f_globals.get("__name__"))
    if name.startswith(_USERS):
        return CPU
    return None if name.startswith("engine.") else modes.home


_MAKERS = {"engine.creation", "engine.sampling", "engine.placement"}
_USERS = ("engine.data", "engine.entry", "engine.serialize", "engine.train", "engine.cli")
