"""A device's name in, the device out: ``engine.device("cpu")``, as PyTorch writes it."""

from __future__ import annotations

from typing import Any

from engine.errors import message
from engine.locate import user_location

KNOWN = ("cpu", "cuda")


class device:
    """Where a tensor lies: ``type`` is "cpu"; ``index`` is None, or a number after a colon.

    Raises RuntimeError for a name that is no device's.
    """

    def __init__(self, name: Any, index: int | None = None) -> None:
        kind, colon, number = str(name).partition(":")
        known = kind in KNOWN and (number.isdigit() if colon else True)
        if not known or (colon and index is not None):
            raise RuntimeError(message(user_location(), f"{name!r} names no device", "'cpu'"))
        self.type = kind
        self.index = int(number) if colon else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def refuse_others(name: str) -> None:
    """RuntimeError unless ``name`` is the CPU, the one device that tensors lie on."""
    kind = name.split(":", maxsplit=1)[0]
    if kind == "cpu":
        return
    hint = (
        "ask engine.cuda.is_available() first; tracefuse compile --target cuda shows the kernels"
        if kind == "cuda"
        else ""
    )
    what = f"there is no device {name!r}; tensors lie on 'cpu' only"
    raise RuntimeError(message(user_location(), what, hint))


def names_device(value: Any) -> bool:
    """Whether ``value`` is a device or the name of one, not a dtype."""
    named = isinstance(value, str) and value.split(":")[0] in {"cpu", "cuda", "mps", "meta", "xpu"}
    return named or type(value).__name__ == "device"
