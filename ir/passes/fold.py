"""Graph in, an equal graph out in which what can be computed once on few elements is.

Arithmetic on constants is done here; arithmetic on repeated values is done before they are
repeated, so that the scalar part of an optimizer's update costs one operation and not one for
each parameter. Only scalars become new constants: the graph never grows by a table of numbers.
"""

from __future__ import annotations

from ir import make
from ir.graph import Graph, Node
from ir.interpret import evaluate_node
from ir.ops import OPS
from ir.passes.rewrite import Rules, literal, rewrite
from ir.types import number_of

_MOVEMENTS = ("reshape", "transpose", "slice", "flip", "window")


def fold(graph: Graph) -> Graph:
    """Constants are combined, and elementwise ops run before their operands are broadcast."""
    return rewrite(graph, _RULES)


def _constant_result(node: Node) -> Node | None:
    """A scalar op on constants is a constant."""
    if node.shape or any(source.op.name != "constant" for source in node.inputs):
        return None
    value = evaluate_node(node, [evaluate_node(source, ()) for source in node.inputs])
    return make.constant(number_of(value, node.dtype), node.dtype)


def _before_broadcast(node: Node) -> Node | None:
    """Operands repeated in the same way, or repeated scalars, are combined before that."""
    if any(source.op.name != "broadcast" for source in node.inputs):
        return None
    widest = max(node.inputs, key=lambda source: source.inputs[0].type.rank)
    shape, axes = widest.inputs[0].shape, widest.attrs["axes"]
    sources = []
    for operand in node.inputs:
        (source,) = operand.inputs
        if source.shape == shape and operand.attrs["axes"] == axes:
            sources.append(source)
        elif source.shape == ():
            sources.append(make.broadcast(source, shape, ()))
        else:
            return None
    made = make.apply(node.op.name, *sources, **node.attrs)
    return make.broadcast(_constant_result(made) or made, node.shape, axes)


def _move_repeated_scalar(node: Node) -> Node | None:
    """However a repeated scalar is moved, it stays a repeated scalar."""
    (x,) = node.inputs
    if x.op.name != "broadcast" or x.attrs["axes"]:
        return None
    return make.broadcast(x.inputs[0], node.shape, ())


def _pad_with_itself(node: Node) -> Node | None:
    value = literal(node.inputs[0])
    if value is None or repr(value) != repr(number_of(node.attrs["value"], node.dtype)):
        return None
    return make.full(value, node.dtype, node.shape)


def _single_count(node: Node) -> Node | None:
    """Counting along an axis of one element gives zeros."""
    if node.shape[node.attrs["axis"]] != 1:
        return None
    return make.full(0, node.dtype, node.shape)


_RULES: Rules = {
    **{
        op.name: (_constant_result, _before_broadcast)
        for op in OPS.values()
        if op.family == "elementwise"
    },
    **dict.fromkeys(_MOVEMENTS, (_move_repeated_scalar,)),
    "pad": (_pad_with_itself,),
    "iota": (_single_count,),
}
