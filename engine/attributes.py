"""Tensors that a step assigned to attributes of networks in, outputs of its program out.

``self.hidden = h`` inside a step is state like any other. Where the attribute held a tensor of the
same type, that tensor is written in place and stays; where it held none, the new tensor stays and
gets its contents after every run. If the step fails, attributes are what they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from engine.fingerprint import TREES
from engine.storage import Cell
from engine.tensor import Tensor
from engine.trace import Trace
from ir.graph import Node

Table = dict[str, Any]
Snapshot = list[tuple[Table, Table]]


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
            if isinstance(old, Tensor):
                table[key] = old


def _changes(saved: Snapshot) -> Iterator[tuple[Table, str, Any]]:
    """Every attribute that now holds another tensor than before, with what it held."""
    for table, before in saved:
        for key, new in list(table.items()):
            if isinstance(new, Tensor) and new is not before.get(key):
                yield table, key, before.get(key)


def settle(saved: Snapshot, trace: Trace) -> list[tuple[Tensor, Node]]:
    """Turn assigned attributes into writes; what is left is refreshed after every run."""
    held = Counter(
        id(value) for _, before in saved for value in before.values() if isinstance(value, Tensor)
    )
    writes = []
    fresh: list[tuple[Tensor, Node]] = []
    for table, key, old in list(_changes(saved)):
        new: Tensor = table[key]
        value = new.value
        if isinstance(old, Tensor) and not old._wants_grad and held[id(old)] == 1:
            if old.value.type == value.type:
                writes.append((old, value))
                table[key] = old
                continue
        source = trace.origin.get(new._cell)
        if source is None or source.argument is not None:
            kept = new if source is None else Tensor(Cell(None))
            table[key] = kept
            fresh.append((kept, value.node))
    for old, value in writes:
        trace.assign(old, value)
    return fresh
