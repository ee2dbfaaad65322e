"""A device's name in, the device out: ``engine.device("cuda")``, as PyTorch writes it.

There are two places for tensors: the CPU and the first CUDA device. Which GPU is the first is
chosen with CUDA_VISIBLE_DEVICES, before Python starts.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from engine.errors import DeviceError, message
from engine.locate import user_location
from engine.modes import modes
from engine.storage import CPU

KNOWN = ("cpu", "cuda")
CUDA = "cuda:0"


class device:
    """Where a tensor lies: ``type`` is "cpu" or "cuda"; ``index`` is None, or the number after the
    colon.

    Raises RuntimeError for a name that is no device's. Whether the device is there is asked when
    a tensor goes there (``engine.cuda.is_available()``).

    As a context manager it is where tensors and modules are made inside that name no device.

    >>> engine.device("cuda:0").type
    'cuda'
    >>> with engine.device("cpu"):
    ...     engine.ones(2).device
    device(type='cpu')
    """

    def __init__(self, name: Any, index: int | None = None) -> None:
        if isinstance(name, int):
            name = f"cuda:{name}"
        kind, colon, number = str(name).partition(":")
        known = kind in KNOWN and (number.isdigit() if colon else True)
        if not known or (colon and index is not None):
            hint = "'cpu' or 'cuda'"
            raise RuntimeError(message(user_location(), f"{name!r} names no device", hint))
        self.type = kind
        self.index = int(number) if colon else index
        self._outer: list[str] = []

    def __enter__(self) -> device:
        home = home_of(self)
        self._outer.append(modes.home)
        modes.home = home
        return self

    def __exit__(self, *exc: object) -> None:
        modes.home = self._outer.pop()

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def set_default_device(device: Any) -> None:
    """Where tensors and modules are made, from now on, that name no device; "cpu" for None.

    RuntimeError with the reason for a device that is not there. The default is this thread's.
    """
    modes.home = CPU if device is None else home_of(device)


def get_default_device() -> device:
    """Where tensors are made that name no device."""
    return device(modes.home)


def names_device(value: Any) -> bool:
    """Whether ``value`` is a device or the name of one, not a dtype."""
    named = isinstance(value, str) and value.split(":")[0] in {"cpu", "cuda", "mps", "meta", "xpu"}
    return named or type(value).__name__ == "device"


def home_of(name: Any) -> str:
    """The place that a name or a device stands for: "cpu" or "cuda:0".

    RuntimeError, with the reason and the remedy, where there is no such device here.
    """
    kind, _, number = (f"cuda:{name}" if isinstance(name, int) else str(name)).partition(":")
    if kind == CPU:
        return CPU
    if kind != "cuda":
        what = f"there is no device {str(name)!r}; tensors lie on 'cpu' or 'cuda'"
        raise DeviceError(message(user_location(), what))
    reason = no_cuda()
    if reason:
        what = f"there is no device {str(name)!r}: {reason}"
        hint = "ask engine.cuda.is_available() first; tracefuse compile --target cuda needs no GPU"
        raise DeviceError(message(user_location(), what, hint))
    if number not in ("", "0"):
        what = f"there is no device {str(name)!r}: a process uses one GPU, 'cuda:0'"
        hint = f"start it with CUDA_VISIBLE_DEVICES={number}"
        raise DeviceError(message(user_location(), what, hint))
    return CUDA


@cache
def no_cuda() -> str:
    """Why no tensor can lie on a GPU here, with the remedy; empty where one can."""
    found: str = importlib.import_module("codegen.cuda.runtime").reason()
    return found


def runtime() -> Any:
    """The device's memory, copies and launches: ``codegen.cuda.runtime.Runtime``.

    The compiler is imported when a device is first used, not with the engine.
    """
    return importlib.import_module("codegen.cuda.runtime").runtime()
