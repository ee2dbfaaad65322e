"""A scalar of a graph in, the nodes of its gradient out: reverse mode, from rules in the op table.

The result is made of the same ops, so it differentiates again. A rule says what one op does with
a cotangent; this file only walks backwards and adds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ir import make
from ir.errors import UnsupportedError
from ir.graph import Node, located, toposort
from ir.loop_grad import scan_cotangents
from ir.types import differentiable


def vjp(
    outputs: Mapping[Node, Node], wrt: Sequence[Node], stop: Collection[Node] = ()
) -> list[Node | None]:
    """For each node of ``wrt`` its cotangent, given the cotangent of each output.

    Nodes of ``stop`` are constants: nothing flows through them, though they may be in ``wrt``.
    None where no output depends on it through differentiable ops. Raises ``UnsupportedError``
    for an op without a rule on the way.
    """
    order = toposort(outputs)
    wanted = set(wrt)
    active: set[Node] = set()
    for node in order:
        flows = differentiable(node.type) and node not in stop
        if node in wanted or (flows and any(source in active for source in node.inputs)):
            active.add(node)
    cotangents: dict[Node, Any] = {n: g for n, g in outputs.items() if n in active}
    for node in reversed(order):
        if node not in cotangents or node in stop or not any(s in active for s in node.inputs):
            continue
        for source, part in zip(node.inputs, _rule(node, cotangents[node]), strict=True):
            if part is not None and source in active:
                cotangents[source] = _sum(cotangents.get(source), part)
    return [cotangents.get(node) for node in wrt]


def _sum(known: Any, part: Any) -> Any:
    """Two cotangents of one value; those of a tuple are by item, and may miss some."""
    if known is None:
        return part
    if not isinstance(part, dict):
        return make.add(known, part)
    return {**known, **{at: _sum(known.get(at), one) for at, one in part.items()}}


def gradient(output: Node, wrt: Sequence[Node]) -> list[Node]:
    """The derivatives of a scalar ``output``; zeros where it does not depend on a node."""
    if output.shape != ():
        raise ValueError(f"gradient of a value of shape {list(output.shape)}; it must be a scalar")
    found = vjp({output: make.full_like(output, 1.0)}, wrt)
    return [
        make.full_like(node, 0.0) if part is None else part
        for node, part in zip(wrt, found, strict=True)
    ]


def _rule(node: Node, cotangent: Any) -> Sequence[Any]:
    if node.op.name == "scan":
        with located(node.loc):
            return scan_cotangents(node, cotangent, vjp)
    if node.op.vjp is None:
        raise UnsupportedError(f"{node.op.name} has no derivative rule ({node.loc})")
    with located(node.loc):
        parts = node.op.vjp(make, node, cotangent)
    for source, part in zip(node.inputs, parts, strict=True):
        if part is not None and not isinstance(part, dict) and part.type != source.type:
            raise AssertionError(
                f"derivative of {node.op.name}: cotangent {part.type} for input {source.type}"
            )
    return parts
