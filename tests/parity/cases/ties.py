"""A function that names the place of a value in, the same with the element at that place out.

Which of equal elements is named is open, and PyTorch's choice follows its sorting network. Whole
numbers and halves are often equal, so there the element is compared instead of its place; the most
frequent value of ``mode`` stands in several places by its nature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def named(
    call: Callable[..., Any], x: Any, k: int, dim: int = -1, *args: Any, **kwargs: Any
) -> Any:
    """Values, the elements at the places that ``call`` gives, and those places' dtype."""
    values, places = call(x, k, dim, *args, **kwargs)
    if x.is_floating_point() and x.element_size() > 2:
        return values, places
    at = places if len(places.shape) == len(x.shape) else places.unsqueeze(dim)
    return values, x.gather(dim, at), places * 0


def modes(call: Callable[..., Any], x: Any, dim: int = -1, *args: Any, **kwargs: Any) -> Any:
    """Most frequent values, the elements at the places that ``call`` gives, and their dtype."""
    values, places = call(x, dim, *args, **kwargs)
    at = places if len(places.shape) == len(x.shape) else places.unsqueeze(dim)
    return values, x.gather(dim, at), places * 0


IN: dict[str, Callable[..., Any]] = {"topk": named, "kthvalue": named, "mode": modes}
