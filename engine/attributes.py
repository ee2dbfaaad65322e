"""Tensors that a step assigned to attributes of networks in, outputs of its program out.

``self.hidden = h`` inside a step is state like any other. A buffer, and a
tensor that the step also read, is written in place and stays; any other attribute is set to the
new tensor after every run. If the step fails, attributes are what they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from engine.fingerprint import TREES
from engine.storage import Cell, Value
from engine.tensor import Tensor
from engine.trace import Trace
from ir.graph import Node

Table = dict[str, Any]
Snapshot = list[tuple[Table, Table]]


@dataclass(frozen=True)
class Kept:
    """An attribute that holds ``tensor`` after every run, filled with the value of ``node``."""

    table: Table
    key: str
    tensor: Tensor
    node: Node


def snapshot(roots: Iterable[Any]) -> Snapshot:
    """The attributes of all parts of the networks, beside copies of them."""
    tables: dict[int, Table] = {}
    for root in roots:
        for module in root.modules() if hasattr(root, "modules") else ():
            for table in (module.__dict__, *(module.__dict__[tree] for tree in TREES)):
                tables[id(table)] = table
    return [(table, dict(table)) for table in tables.values()]


def restore(saved: Snapshot) -> None:
    """Attributes that held, or now hold, tensors are as they were."""
    for table, key, _ in list(_changes(saved)):
        table.pop(key, None)
    for table, before in saved:
        for key, old in before.items():
            if isinstance(old, Tensor) or key not in table:
                table[key] = old


def _changes(saved: Snapshot) -> Iterator[tuple[Table, str, Any]]:
    """Every attribute that now holds another tensor than before, with what it held."""
    for table, before in saved:
        for key, new in list(table.items()):
            if isinstance(new, Tensor) and new is not before.get(key):
                yield table, key, before.get(key)


def settle(saved: Snapshot, trace: Trace) -> list[Kept]:
    """Turn assigned attributes into writes; what is left is set after every run."""
    held = Counter(
        id(value) for _, before in saved for value in before.values() if isinstance(value, Tensor)
    )
    writes = []
    kept: list[Kept] = []
    for table, key, old in list(_changes(saved)):
        new: Tensor = table[key]
        value = new.value
        registered = "_parameters" not in table
        if _is_written(old, value, trace, registered) and held[id(old)] == 1:
            writes.append((old, value))
            table[key] = old
            continue
        source = trace.origin.get(new._cell)
        if source is None or source.argument is not None:
            tensor = new if source is None else Tensor(Cell(None))
            kept.append(Kept(table, key, tensor, value.node))
    for old, value in writes:
        trace.assign(old, value)
    return kept


def _is_written(old: Any, value: Value, trace: Trace, registered: bool) -> bool:
    """Whether the attribute's old tensor takes the new value: a buffer, or one that was read."""
    if not isinstance(old, Tensor) or old._wants_grad:
        return False
    return (registered or old._cell in trace.origin) and old.value.type == value.type
