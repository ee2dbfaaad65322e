"""A misuse in, an exception out whose first line is the user's own.

Every class is a RuntimeError, as PyTorch's are, and also what Python would call it (a ValueError
for a shape, a TypeError for a dtype), so that either way of catching works.
"""

from __future__ import annotations

from ir.errors import OpError, OpTypeError
from ir.graph import Location


class EngineError(RuntimeError):
    """What the engine raises: user's line, what was asked, the rule broken, a hint."""


class ShapeError(EngineError, ValueError):
    """Shapes (or values) that an operation cannot take."""


class DTypeError(EngineError, TypeError):
    """Dtypes that an operation cannot take."""


class OutOfRange(EngineError, IndexError):
    """A dimension or a position that is not there."""


class DeviceError(EngineError):
    """Tensors on two devices, or a device that is not there."""


class AutogradError(EngineError):
    """A derivative that cannot be had: no scalar, no history, or a value overwritten."""


class TraceError(EngineError):
    """Code under ``jit`` asked for what is known only when the program runs."""


class Unsupported(EngineError, NotImplementedError):
    """Named in PyTorch, not built here."""


def message(loc: Location | None, what: str, hint: str = "") -> str:
    """The text of an error: the user's line, what is wrong, a hint."""
    lines = [] if loc is None else [f"{loc}: {loc.source}".rstrip(": ")]
    lines.append(what)
    if hint:
        lines.append(f"hint: {hint}")
    return "\n".join(lines)


def from_op_error(error: OpError) -> EngineError:
    """The engine's error for a broken rule of the op table."""
    kind = DTypeError if isinstance(error, OpTypeError) else ShapeError
    return kind(str(error))
