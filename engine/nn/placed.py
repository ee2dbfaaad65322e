"""A layer and its ``device=`` in, the layer on that device out."""

from __future__ import annotations

import inspect
from typing import Any


class Placed(type):
    """The class of modules: a layer of ours that is made with ``device=`` is moved there."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the module, on its device."""
        made = super().__call__(*args, **kwargs)
        device = kwargs.get("device")
        if device is not None and cls.__module__.startswith("engine."):
            made.to(device)
        return made

    @property
    def __signature__(cls) -> inspect.Signature:
        """What ``__init__`` takes: help and editors ask the class, not its class."""
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])
