"""Values and a body in, the history of a loop out: ``scan``, and ``item`` to read its results.

A scan runs its body ``length`` times. The body is a graph over (carries, one slice of each
sequence, constants) that gives (new carries, outputs). The result is a tuple: for each carry its
history, the value before the first turn included (so that nobody needs a second copy of it), then
each output stacked. ``keep`` False leaves only a carry's last value. A reversed scan starts at
the last slice, and its histories are filled from the back. (After ``jax.lax.scan``.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dims import Size
from ir.errors import broken
from ir.graph import Graph
from ir.table import Array, Op
from ir.types import TensorType, TupleType, tuple_type


@dataclass(frozen=True, eq=False)
class Body:
    """The graph of one turn. Compared by identity: two bodies are equal only if they are one."""

    graph: Graph

    def __repr__(self) -> str:
        return f"body{id(self):x}"


def _infer_scan(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    graph, carries, slices = attrs["body"].graph, attrs["carries"], attrs["slices"]
    length: Size = attrs["length"]
    wanted = [node.type for node in graph.inputs]
    if len(types) != len(wanted):
        raise broken(f"the body takes {len(wanted)} values, not {len(types)}")
    for at, (given, inner) in enumerate(zip(types, wanted, strict=True)):
        sliced = carries <= at < carries + slices
        expected = inner.with_shape((length, *inner.shape)) if sliced else inner
        if given != expected:
            raise broken(f"operand {at} is {given}, the body needs {expected}")
    results = [node.type for node in graph.outputs]
    if results[:carries] != wanted[:carries]:
        raise broken(
            f"the body turns carries ({_listed(wanted[:carries])}) into "
            f"({_listed(results[:carries])}); types and shapes must stay"
        )
    rows = [length + 1 if kept else 1 for kept in attrs["keep"]]
    rows += [length] * (len(results) - carries)
    return tuple_type(one.with_shape((n, *one.shape)) for n, one in zip(rows, results, strict=True))


def _listed(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types))


def _scan(
    *arrays: Array,
    body: Callable[[Sequence[Array]], list[Array]],
    carries: int,
    slices: int,
    length: int,
    reverse: bool,
    keep: Sequence[bool],
) -> Array:
    """The loop itself. ``body`` comes as the function that runs its graph."""
    state = [np.asarray(x) for x in arrays[:carries]]
    sequences, constants = arrays[carries : carries + slices], arrays[carries + slices :]
    nothing = [np.zeros(x.shape[1:], x.dtype) for x in sequences]
    sample = body([*state, *nothing, *constants]) if length == 0 else []
    histories: list[list[Array]] = [[x] for x in state]
    stacks: list[list[Array]] = []
    for turn in range(length):
        at = length - 1 - turn if reverse else turn
        found = body([*state, *(x[at] for x in sequences), *constants])
        state = found[:carries]
        stacks = stacks or [[] for _ in found[carries:]]
        for rows, x in zip((*histories, *stacks), found, strict=True):
            rows.append(x)
    kept = [h if wanted else h[-1:] for h, wanted in zip(histories, keep, strict=True)]
    values = [np.stack(rows[::-1] if reverse else rows) for rows in (*kept, *stacks)]
    values += [np.empty((0, *x.shape), x.dtype) for x in sample[carries:]]
    result = np.empty(len(values), object)
    for at, value in enumerate(values):
        result[at] = value
    return result


def _infer_item(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    (source,) = types
    if not isinstance(source, TupleType):
        raise broken(f"takes an item of a tuple, not of {source}")
    found: TensorType = source.items[attrs["index"]]
    return found


def _item(results: Array, index: int) -> Array:
    found: Array = results[index]
    return found


def _vjp_item(m: Any, n: Any, g: Any) -> Sequence[Any]:
    return ({n.attrs["index"]: g},)


ROWS: tuple[Op, ...] = (
    Op("scan", "loop", None, _infer_scan, _scan),  # its derivative is a graph's: ``ir.loop_grad``
    Op("item", "loop", 1, _infer_item, _item, _vjp_item, cost=0.0),
)
