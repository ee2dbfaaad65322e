"""Nested containers in, their leaves and their structure out, and back.

Containers are dict, list, tuple, namedtuple and dataclasses; everything else is a leaf, a
symbolic size too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ir.dims import Dim

Structure: TypeAlias = Any
LEAF = None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves in order, and a hashable description of what held them."""
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves)


def _walk(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind, tuple([_walk(item, leaves) for item in tree])
    if kind is dict:
        return kind, tuple(tree), tuple([_walk(item, leaves) for item in tree.values()])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind, tuple([_walk(item, leaves) for item in tree])
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type | Dim):
        names = tuple(field.name for field in dataclasses.fields(tree))
        return kind, names, tuple([_walk(getattr(tree, name), leaves) for name in names])
    leaves.append(tree)
    return LEAF


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The containers of ``structure`` around ``leaves``."""
    return _build(structure, iter(leaves).__next__)


def _build(structure: Structure, take: Callable[[], Any]) -> Any:
    if structure is LEAF:
        return take()
    kind, *rest = structure
    items = [_build(part, take) for part in rest[-1]]
    if kind is dict:
        return dict(zip(rest[0], items, strict=True))
    if kind is list or kind is tuple:
        return kind(items)
    if issubclass(kind, tuple):
        return kind(*items)
    made = object.__new__(kind)
    for name, item in zip(rest[0], items, strict=True):
        object.__setattr__(made, name, item)
    return made
