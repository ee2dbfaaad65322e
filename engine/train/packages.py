"""A package's name in, the package out; where it is missing, one sentence that says the remedy."""

from __future__ import annotations

import importlib
from types import ModuleType


def need(name: str, extra: str = "examples") -> ModuleType:
    """The module ``name``, imported; it comes with tracefuse's optional packages ``extra``.

    Ends the script with a line that names what is missing and how to install it.

    >>> datasets = need("sklearn.datasets")
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).split(".")[0]
        raise SystemExit(
            f"{missing} is missing, and this needs it: pip install 'tracefuse[{extra}]'"
        ) from None
