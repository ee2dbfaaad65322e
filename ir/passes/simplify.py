"""Graph in, an equal graph out with fewer or cheaper nodes, by rules of algebra that floats keep.

IEEE honesty: a rule holds for NaN, infinities and both zeros, bit for bit. So ``x+0``, ``0-x``,
``x*0`` and ``x/x`` stay (``-0+0`` is ``0``, ``inf*0`` is NaN), while ``x-0``, ``x*1`` and
``x/4 -> x*0.25`` go. Two exceptions: the sign and payload of a NaN are open, and ``pow(x, 2)``
becomes a product, which rounds correctly where a power may not.
"""

from __future__ import annotations

import math

import numpy as np

from ir import make
from ir.graph import Graph, Node
from ir.passes.rewrite import Rule, Rules, literal, names, rewrite
from ir.types import BOOL, is_float

_MIRRORED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def simplify(graph: Graph) -> Graph:
    """Identities vanish, negations cancel, constants stand on the right."""
    return rewrite(graph, _RULES)


def _scalar_right(node: Node) -> Node | None:
    """Repeated scalars stand on the right, constants to the right of all."""
    a, b = node.inputs
    if _constancy(a) <= _constancy(b):
        return None
    return make.apply(_MIRRORED.get(node.op.name, node.op.name), b, a)


def _constancy(node: Node) -> int:
    if literal(node) is not None:
        return 2
    return int(node.op.name == "broadcast" and node.inputs[0].shape == ())


def _add(node: Node) -> Node | None:
    a, b = node.inputs
    match names(node):
        case ("add", _, "neg"):
            return make.sub(a, b.inputs[0])
        case ("add", "neg", _):
            return make.sub(b, a.inputs[0])
    return a if _is_zero(b, -1.0) else None


def _sub(node: Node) -> Node | None:
    a, b = node.inputs
    if b.op.name == "neg":
        return make.add(a, b.inputs[0])
    return a if _is_zero(b, 1.0) else None


def _is_zero(node: Node, sign: float) -> bool:
    """Whether ``node`` is the zero that addition with this sign leaves everything unchanged."""
    value = literal(node)
    if value is None or value != 0:
        return False
    return not is_float(node.dtype) or math.copysign(1.0, value) == sign


def _mul(node: Node) -> Node | None:
    a, b = node.inputs
    match names(node)[1:], literal(b):
        case _, 1:
            return a
        case _, -1:
            return make.neg(a)
        case ("neg", "neg"), _:
            return make.mul(a.inputs[0], b.inputs[0])
        case ("neg", _), int() | float() as value if is_float(node.dtype):
            return make.mul(a.inputs[0], -value)
    return None


def _div(node: Node) -> Node | None:
    """Division by a power of two is a product, where the reciprocal is a normal number."""
    a, b = node.inputs
    value = literal(b)
    if value == 1:
        return a
    if value is None or not math.isfinite(value) or abs(math.frexp(value)[0]) != 0.5:
        return None
    inverse, limits = 1.0 / value, np.finfo(node.dtype)
    return make.mul(a, inverse) if limits.tiny <= abs(inverse) <= limits.max else None


def _neg(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name == "neg":
        return x.inputs[0]
    if x.op.name in ("mul", "div") and is_float(node.dtype) and _constancy(x.inputs[1]):
        a, b = x.inputs
        scalar = b.inputs[0] if b.op.name == "broadcast" else b
        return make.apply(x.op.name, a, make.broadcast(make.neg(scalar), b.shape, ()))
    return None


def _pow(node: Node) -> Node | None:
    base, exponent = node.inputs
    match literal(exponent):
        case 1:
            return base
        case 2:
            return make.mul(base, base)
    return None


def _idempotent(node: Node) -> Node | None:
    (x,) = node.inputs
    return x if x.op is node.op else None


def _even(node: Node) -> Node | None:
    """``abs(-x)`` is ``abs(x)``."""
    (x,) = node.inputs
    return make.apply("abs", x.inputs[0]) if x.op.name == "neg" else None


def _same_operands(node: Node) -> Node | None:
    a, b = node.inputs
    return a if a is b else None


def _not(node: Node) -> Node | None:
    (x,) = node.inputs
    match names(node):
        case ("not", "not") if x.inputs[0].dtype == BOOL:
            return x.inputs[0]
        case ("not", "eq"):
            return make.apply("ne", *x.inputs)
        case ("not", "ne"):
            return make.apply("eq", *x.inputs)
    return None


def _select(node: Node) -> Node | None:
    condition, a, b = node.inputs
    if a is b or literal(condition) is True:
        return a
    if literal(condition) is False:
        return b
    if condition.op.name == "not" and condition.inputs[0].dtype == BOOL:
        return make.select(condition.inputs[0], b, a)
    return None


def _whole_slice(node: Node) -> Node | None:
    (x,), attrs = node.inputs, node.attrs
    if x.shape == node.shape and not any(attrs["start"]) and set(attrs["step"]) <= {1}:
        return x
    return None


def _single_part(node: Node) -> Node | None:
    """Parts without elements add nothing to a concatenation, and one part is itself."""
    axis = node.attrs["axis"]
    parts = [x for x in node.inputs if x.shape[axis] != 0] or [node.inputs[0]]
    return make.concatenate(parts, axis) if len(parts) < max(len(node.inputs), 2) else None


def _position_of_single(node: Node) -> Node | None:
    (x,) = node.inputs
    if any(x.shape[axis] != 1 for axis in node.attrs["axes"]):
        return None
    return make.full(0, node.dtype, node.shape)


_COMMUTING: tuple[Rule, ...] = (_scalar_right,)

_RULES: Rules = {
    "add": (_scalar_right, _add),
    "sub": (_sub,),
    "mul": (_scalar_right, _mul),
    "div": (_div,),
    "neg": (_neg,),
    "pow": (_pow,),
    "abs": (_idempotent, _even),
    "relu": (_idempotent,),
    "floor": (_idempotent,),
    "ceil": (_idempotent,),
    "maximum": (_same_operands,),
    "minimum": (_same_operands,),
    "and": (_scalar_right, _same_operands),
    "or": (_scalar_right, _same_operands),
    "not": (_not,),
    "select": (_select,),
    **dict.fromkeys(("eq", "ne", "xor", *_MIRRORED), _COMMUTING),
    "slice": (_whole_slice,),
    "concatenate": (_single_part,),
    **dict.fromkeys(("argmax", "argmin"), (_position_of_single,)),
}
