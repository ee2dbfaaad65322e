"""What does not fit in, the engine's error out, the user's line first."""

from __future__ import annotations

from engine.errors import ShapeError, message
from engine.locate import user_location


def misfit(what: str, hint: str = "") -> ShapeError:
    """The error for operands that a layer or loss cannot take; the caller raises it."""
    return ShapeError(message(user_location(), what, hint))
