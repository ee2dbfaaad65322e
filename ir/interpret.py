"""A graph and NumPy arrays in, NumPy arrays out: the specification every kernel is held to.

Symbolic sizes get their values from the arrays' shapes. An op on concrete tensors outside ``jit``
runs through ``evaluate_node``; that is the eager mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ir.dims import Dim, Size, evaluate
from ir.errors import LinAlgError
from ir.graph import Graph, Node
from ir.ops.loop import Body
from ir.table import Array

Env: TypeAlias = Mapping[str, int]


def interpret(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of ``graph`` for ``inputs`` (arrays of the graph's input types)."""
    env = bind_symbols([node.type.shape for node in graph.inputs], [x.shape for x in inputs])
    values: dict[Node, Array] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        if node not in values:
            values[node] = evaluate_node(node, [values[source] for source in node.inputs], env)
    return [values[node] for node in graph.outputs]


def evaluate_node(node: Node, arrays: Sequence[Array], env: Env | None = None) -> Array:
    """The value of one node for its inputs' values; always of the node's dtype."""
    attrs = {name: concrete(value, env or {}) for name, value in node.attrs.items()}
    with np.errstate(all="ignore"):  # infinities and NaN are values here, not news
        try:
            return np.asarray(node.op.evaluate(*arrays, **attrs))
        except LinAlgError as error:
            where = f"{node.loc}: {node.loc.source}\n" if node.loc is not None else ""
            raise LinAlgError(f"{where}{node.op.name}({node.inputs[0].type}): {error}") from None


def concrete(value: Any, env: Env) -> Any:
    """An attribute with every symbolic size replaced by its value, a body by its function."""
    if isinstance(value, Body):
        return partial(interpret, value.graph)
    if isinstance(value, Dim):
        return evaluate(value, env)
    if isinstance(value, tuple):
        return tuple(concrete(item, env) for item in value)
    return value


def bind_symbols(
    shapes: Sequence[Sequence[Size]], actual: Sequence[Sequence[int]]
) -> dict[str, int]:
    """The symbols' values, read from dimensions that are a bare symbol.

    Raises ValueError where a static or computed dimension differs from the actual size.
    """
    env: dict[str, int] = {}
    pairs = [
        pair
        for shape, sizes in zip(shapes, actual, strict=True)
        for pair in zip(shape, sizes, strict=True)
    ]
    for size, value in pairs:
        if isinstance(size, Dim) and len(size.terms) == 1:
            (monomial, factor), *_ = size.terms
            if factor == 1 and len(monomial) == 1:
                env.setdefault(monomial[0], int(value))
    for size, value in pairs:
        if evaluate(size, env) != value:
            raise ValueError(f"an input dimension is {value}, the graph says {size}")
    return env
