"""A tensor and a device in, the tensor there out.

A tensor that belongs to a GPU lies there when a compiled step left or wants it there. What is done
to it outside of compiled steps, op by op, is done by the interpreter on the host, on a copy that
is brought when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.device import CUDA, device, home_of, names_device, runtime
from engine.dispatch import apply
from engine.modes import modes
from engine.state import TensorState
from engine.storage import CPU, Cell, Counter

if TYPE_CHECKING:
    from engine.tensor import Tensor


def moved(x: Tensor, home: str, non_blocking: bool = False, copy: bool = False) -> Tensor:
    """``x`` on the device ``home``, with its history; ``x`` itself where it is there already."""
    if modes.trace is not None and home != CPU:
        modes.trace.device = home
    if (x.value.home or (CPU if modes.trace is None else home)) == home and not copy:
        return x
    out: Tensor = apply("reshape", x, shape=x.value.type.shape)
    value = out.value
    value.home = out._cell.home = home
    if modes.trace is not None:
        return out
    array = x._cell.array
    assert array is not None
    if home == CPU:
        out._cell = Cell(np.array(array, order="C"), home=CPU)
    else:
        memory = runtime().upload(array, pinned=is_pinned(x))
        if is_pinned(x) and not non_blocking:
            runtime().synchronize()  # its owner may write to it now
        out._cell = Cell(None, Counter(memory), home)
    value.array = out._cell.held
    value.placed(out._cell, 0)
    return out


def settled(x: Tensor, home: str | None) -> Tensor:
    """A tensor that was just made, as one of ``home``."""
    value = x.value
    if home is None or value.home == home:
        return x
    if home == CPU or modes.trace is not None:
        value.home = x._cell.home = home
        if home != CPU and modes.trace is not None:
            modes.trace.device = home
        return x
    array = x._cell.array
    x._cell = Cell(None, Counter(runtime().upload(array)), home)
    value.array, value.home = None, home
    value.placed(x._cell, 0)
    return x


def at_home(x: Tensor, home: str | None) -> Tensor:
    """A gradient, as one of the device of what it is the gradient of."""
    if home is None or x.value.home == home:
        return x
    if x.value.home is not None:
        return moved(x, home)
    x.value.home = x._cell.home = home
    return x


def target_of(args: tuple[Any, ...], device: Any) -> str | None:
    """The device that the arguments of ``to`` ask for; None where they ask for none."""
    for arg in (device, *args):
        if isinstance(arg, TensorState):
            return arg.value.home or CPU
        if names_device(arg) or (type(arg) is int and arg is device):
            return home_of(arg)
    return None


def device_of(x: Tensor) -> device:
    """The device of ``x``; inside a trace what the engine made itself is on the program's."""
    if modes.trace is not None:
        return device(x.value.home or modes.trace.device)
    return device(x._cell.place)


def pin(x: Tensor) -> Tensor:
    """A copy of a tensor of the CPU in memory that a GPU reads by itself."""
    if x.value.home == CUDA:
        text = "cannot pin a tensor of 'cuda'; only dense CPU tensors can be pinned"
        raise RuntimeError(text)
    home_of("cuda")
    if is_pinned(x):
        return x
    made: Tensor = x._plain(Cell(runtime().pinned(x._cell.array), home=CPU))
    made._cell.counter.pinned = True
    return made


def is_pinned(x: Tensor) -> bool:
    """Whether the tensor's memory is pinned: read by the device itself, while Python goes on."""
    return x._cell.counter.pinned
