"""A finished trace in, a runnable program bound to its state out.

A ``Bound`` knows, for every input of the graph, where its array comes from at each call, and for
every output where it goes: a result, a cell's own array (donated), or a parameter's ``.grad``.
State changes only after the run has succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine import pytree
from engine.attributes import Kept
from engine.errors import TraceError, message
from engine.naming import distinct
from engine.scalar import Scalar
from engine.storage import CPU, Cell, cell_of
from engine.tensor import Tensor
from engine.trace import Source, Trace
from ir import make
from ir.dims import Dim
from ir.graph import Graph, Node, rebuild, toposort
from ir.table import Array
from ir.types import F32, I64, TensorType

Give = Callable[[Sequence[Any], Sequence[Any]], Any]  # arrays, or memories of a device


@dataclass
class Outputs:
    """Nodes that the program computes, and what each is for."""

    nodes: list[Node] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, node: Node, name: str) -> int:
        """The place of a new output."""
        self.nodes.append(node)
        self.names.append(name)
        return len(self.nodes) - 1


@dataclass
class Draft:
    """A trace that has ended: the graph, and how to bind it."""

    graph: Graph
    sources: list[Source]
    donated: dict[int, int]
    structure: Any
    gives: list[Give]
    written: list[Cell]
    grads: list[tuple[Tensor | int, Give | None]]  # None where no gradient is left
    kept: list[tuple[Kept, int]]
    checks: list[tuple[int, Callable[[Array], None]]]  # (input, rule) before every run
    device: str = CPU


def close(
    trace: Trace,
    result: Any,
    tensors: Sequence[Tensor],
    keep_grads: bool,
    kept: Sequence[Kept],
    names: Sequence[str],
) -> Draft:
    """The graph of a trace that returned ``result``, while the trace is still the running one.

    ``kept`` are attributes of networks, to be set after every run; ``names`` are for the trace's
    sources.
    """
    called = {source.node: name for source, name in zip(trace.sources, names, strict=False)}
    outputs = Outputs()
    leaves, structure = pytree.flatten(result)
    gives = [_give(trace, leaf, tensors, outputs) for leaf in leaves]
    changed = [c for c in trace.written if trace.bindings[c] is not trace.origin[c].node]
    _refuse_shared_memory(trace, changed)
    places = {
        outputs.add(trace.bindings[c], f"new_{called[trace.origin[c].node]}"): c for c in changed
    }
    grads: list[tuple[Tensor | int, Give | None]] = []
    for at, (tensor, grad) in trace.grads.items():
        if tensor._cell in trace.origin or tensor._cell.type is not None:
            source = trace.origin.get(tensor._cell)
            target = tensor if source is None or source.argument is None else source.argument
            dropped = at in trace.consumed and not keep_grads and grad is not None
            left = None if dropped and grad._cell not in trace.origin else grad  # type: ignore[union-attr]
            give = None if left is None else _give(trace, left, tensors, outputs)
            grads.append((target, give))
    settled = [(item, outputs.add(item.node, item.key)) for item in kept]
    sources = _used(trace.sources, outputs.nodes, {trace.origin[c] for c in changed})
    labels = distinct([called.get(s.node, str(s.node.attrs["name"])) for s in sources])
    sources, nodes = _narrow_numbers(sources, outputs.nodes)
    graph = Graph(
        tuple(source.node for source in sources),
        tuple(nodes),
        tuple(labels),
        tuple(outputs.names),
    )
    place = {source.node: i for i, source in enumerate(sources)}
    checks = [(place[node], rule) for node, rule in trace.checks if node in place]
    index = {source.cell: i for i, source in enumerate(sources) if source.cell is not None}
    donated = {place: index[cell] for place, cell in places.items()}
    return Draft(
        graph, sources, donated, structure, gives, changed, grads, settled, checks, trace.device
    )


def _give(trace: Trace, leaf: Any, tensors: Sequence[Tensor], outputs: Outputs) -> Give:
    """How one leaf of the result is made after each run."""
    if isinstance(leaf, Scalar):
        at = outputs.add(leaf.node, f"out{len(outputs.nodes)}")
        return lambda args, arrays: arrays[at].item()
    if isinstance(leaf, Dim):
        at = outputs.add(make.size(leaf, I64), f"out{len(outputs.nodes)}")
        return lambda args, arrays: arrays[at].item()
    if not isinstance(leaf, Tensor):
        return lambda args, arrays: leaf
    node = leaf.value.node  # also makes an untouched outside tensor known to the trace
    source = trace.origin.get(leaf._cell)
    if source is not None and source.argument is not None:
        index = source.argument
        if leaf is tensors[index]:
            return lambda args, arrays: args[index]
        return lambda args, arrays: args[index].detach()
    if source is not None:
        return lambda args, arrays: leaf
    place = outputs.add(node, f"out{len(outputs.nodes)}")
    home = leaf.value.home or trace.device
    if home == CPU != trace.device:
        return lambda args, found: Tensor(Cell(found[place].read().copy(), home=CPU))
    if trace.device == CPU:
        return lambda args, arrays: Tensor(Cell(arrays[place], None, home))
    return lambda args, arrays: Tensor(cell_of(arrays[place], home))


def _refuse_shared_memory(trace: Trace, changed: Sequence[Cell]) -> None:
    """Two views of one memory are two inputs: writing one would not be seen through the other."""
    counters: dict[int, int] = {}
    for cell in trace.origin:
        counters[id(cell.counter)] = counters.get(id(cell.counter), 0) + 1
    if any(counters[id(cell.counter)] > 1 for cell in changed):
        raise TraceError(
            message(
                None,
                "a jitted step writes to memory that it also reads through another view",
                "use one of the two tensors only, or clone() the other",
            )
        )


def _used(sources: list[Source], outputs: list[Node], targets: set[Source]) -> list[Source]:
    """Tensor arguments (which carry the sizes), what the outputs need, and what is written."""
    reached = set(toposort(outputs))
    return [
        source
        for source in sources
        if source.node in reached
        or source in targets
        or (source.argument is not None and source.cell is not None)
    ]


def _narrow_numbers(sources: list[Source], outputs: list[Node]) -> tuple[list[Source], list[Node]]:
    """A number that is only ever read as float32 is passed in as float32."""
    graph = Graph(tuple(source.node for source in sources), tuple(outputs))
    users: dict[Node, list[Node]] = {s.node: [] for s in sources if s.cell is None}
    for node in graph.nodes:
        for operand in node.inputs:
            if operand in users:
                users[operand].append(node)
    narrow: dict[Node, Node] = {}
    for node, readers in users.items():
        only_cast = all(user.op.name == "cast" and user.dtype == F32 for user in readers)
        if node not in outputs and readers and only_cast:
            narrow[node] = make.input_node(TensorType(F32, ()), node.attrs["name"])
    if not narrow:
        return sources, outputs

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in narrow:
            return narrow[node]
        if node.op.name == "cast" and node.inputs[0] in narrow:
            return inputs[0]
        if inputs == node.inputs:
            return node
        return Node(node.op, inputs, node.attrs, node.type, node.loc)

    graph = rebuild(graph, replace, keep_inputs=False)
    found = [
        Source(node, source.argument, source.cell, source.number)
        for node, source in zip(graph.inputs, sources, strict=True)
    ]
    return found, list(graph.outputs)


class Bound:
    """A program with its state: ``run(leaves, tensors)`` is one step."""

    def __init__(self, draft: Draft, program: Any) -> None:
        self.draft, self.program = draft, program
        cells = {i: s.cell for i, s in enumerate(draft.sources) if s.cell and s.argument is None}
        self._places, self._cells = list(cells), list(cells.values())
        self._pairs = list(cells.items())
        self._written = [cell.counter for cell in draft.written]
        self._tensors = [
            (i, s.argument)
            for i, s in enumerate(draft.sources)
            if s.cell and s.argument is not None
        ]
        self._numbers = [
            (i, s.argument, s.number, s.node.dtype)
            for i, s in enumerate(draft.sources)
            if s.cell is None
        ]
        # one array per number for good: a program re-reads addresses of arrays it has not seen
        self._slots = [np.zeros((), dtype) for *_, dtype in self._numbers]
        self._blank: list[Any] = [None] * len(draft.sources)
        self._into = set(draft.donated.values())
        self._last = self._blank  # the inputs of the last run, where all were contiguous
        self._single = draft.structure is pytree.LEAF

    def run(self, leaves: Sequence[Any], tensors: Sequence[Any]) -> Any:
        """One call: gather, run, and only then change state."""
        inputs = self._blank.copy()
        for i, cell in self._pairs:
            inputs[i] = cell.held if cell.counter.memory is None else cell.array
        for i, argument in self._tensors:
            inputs[i] = tensors[argument]._cell.array
        for (i, at, getter, _), slot in zip(self._numbers, self._slots, strict=True):
            slot[()] = leaves[at] if getter is None else getter()  # type: ignore[index]
            inputs[i] = slot
        for i, rule in self.draft.checks:
            rule(inputs[i])
        back = self._make_contiguous(inputs)
        arrays = self.program.run(inputs)
        for array, copy in back:
            np.copyto(array, copy)
        for counter in self._written:
            counter.wrote()
        return self._commit(tensors, arrays)

    def _make_contiguous(self, inputs: list[Any]) -> list[tuple[Array, Array]]:
        """Inputs in row-major order and apart from what is written; copies to write back."""
        back, last = [], self._last
        fresh = [i for i, array in enumerate(inputs) if array is not last[i]]
        for i in fresh:
            array = inputs[i]
            if not array.flags.c_contiguous:
                inputs[i] = np.ascontiguousarray(array)
                if i in self._into:
                    back.append((array, inputs[i]))
        if self._into and fresh:
            for i, _ in self._tensors:
                if i not in self._into and self._is_written(inputs, i):
                    inputs[i] = inputs[i].copy()
        self._last = inputs  # what was copied is looked at again
        return back

    def _is_written(self, inputs: list[Any], at: int) -> bool:
        array = inputs[at]
        if array.base is None:
            return any(inputs[j] is array for j in self._into)
        return any(np.may_share_memory(array, inputs[j]) for j in self._into)

    def _commit(self, tensors: Sequence[Any], arrays: Sequence[Any]) -> Any:
        draft = self.draft
        for item, place in draft.kept:
            tensor = item.tensor
            tensor._cell.hold(arrays[place])
            tensor._value, tensor._cell.home = None, draft.device
            tensor._cell.counter.version += 1
            item.table[item.key] = tensor
        results = [give(tensors, arrays) for give in draft.gives]
        for target, give in draft.grads:
            tensor = tensors[target] if isinstance(target, int) else target
            tensor._grad = None if give is None else give(tensors, arrays)
        return results[0] if self._single else pytree.unflatten(draft.structure, results)
