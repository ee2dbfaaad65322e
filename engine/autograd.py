"""A tensor with history in, gradients of its leaves out: ``backward`` and ``grad``.

The rules are the op table's, walked by ``ir.grad.vjp``: derivatives are nodes like any others.
Inside a trace they stay nodes; outside they are evaluated at once from the arrays that the
history kept. What does not require grad, and every leaf, is a constant to the walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.backward_hooks import points
from engine.dispatch import cast, joint_home, known_sizes, record
from engine.errors import AutogradError, ShapeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.moving import at_home
from engine.storage import Value
from ir import make
from ir.grad import vjp
from ir.graph import Node, toposort, with_inputs
from ir.passes import canonicalise_nodes

if TYPE_CHECKING:
    from engine.tensor import Tensor


def backward(
    x: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the derivative of the scalar ``x`` to ``.grad`` of every leaf it was computed from.

    ``gradient`` is the cotangent of a tensor that is no scalar. The history is freed afterwards
    unless ``retain_graph``; with ``create_graph`` the gradients have history themselves.
    """
    history = _history([x.value])
    leaves = [value for value in history if value.leaf is not None and value.requires_grad]
    keep = create_graph if retain_graph is None else retain_graph
    found = _gradients([x], [gradient], leaves, history, create_graph=create_graph, keep=keep)
    for value, part in zip(leaves, found, strict=True):
        if part is not None and value.leaf is not None:
            _accumulate(value.leaf, x._plain._from_value(part), create_graph)
            hooks = value.leaf._hooks
            for hook in [] if hooks is None else list(hooks.after.values()):
                hook(value.leaf)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The derivatives of ``outputs`` with respect to ``inputs``, without touching ``.grad``."""
    outs = [outputs] if not isinstance(outputs, Sequence) else list(outputs)
    wrt = [inputs] if not isinstance(inputs, Sequence) else list(inputs)
    if not isinstance(grad_outputs, Sequence):
        grad_outputs = [grad_outputs] * len(outs)
    history = _history([x.value for x in outs])
    keep = create_graph if retain_graph is None else retain_graph
    targets = [x.value for x in wrt]
    found = _gradients(
        outs, list(grad_outputs), targets, history, create_graph=create_graph, keep=keep
    )
    if any(part is None for part in found) and not allow_unused:
        text = "an input of grad() was not used to compute the outputs"
        raise AutogradError(message(user_location(), text, "pass allow_unused=True"))
    plain = outs[0]._plain
    return tuple(None if part is None else plain._from_value(part) for part in found)


def _history(roots: Sequence[Value]) -> dict[Value, None]:
    """Every value that the roots were computed from and that requires grad, sources first."""
    order: dict[Value, None] = {}
    stack = [(root, False) for root in roots if root.requires_grad]
    while stack:
        value, ready = stack.pop()
        if value in order:
            continue
        if value.sources is None:
            raise AutogradError(
                message(
                    user_location(),
                    "backward through this graph a second time, after its values were freed",
                    "pass retain_graph=True to the first backward",
                )
            )
        if ready:
            order[value] = None
        else:
            stack.append((value, True))
            stack.extend((s, False) for s in value.sources if s.requires_grad)
    return order


def _gradients(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    wrt: Sequence[Value],
    history: dict[Value, None],
    *,
    create_graph: bool,
    keep: bool,
) -> list[Value | None]:
    known: dict[Node, Value] = {}
    for value in history:
        known[value.node] = value
        known.update((s.node, s) for s in value.sources or () if not s.requires_grad)
    ends = {v.node for v in known.values() if not v.requires_grad or v.leaf is not None}
    seeds: dict[Node, Node] = {}
    for x, cotangent in zip(outputs, cotangents, strict=True):
        seed = _seed(x, cotangent)
        known[seed.node] = seed
        node = x.value.node
        seeds[node] = make.add(seeds[node], seed.node) if node in seeds else seed.node
    targets = [value.node for value in wrt]
    stops = points(history)
    if stops:
        nodes = _Hooked(outputs[0], known, ends, targets, stops, create_graph).flow(seeds)
    elif modes.trace is not None and ends.issuperset(targets):
        nodes = _canonical_vjp(seeds, targets, ends, history)
    else:
        nodes = vjp(seeds, targets, ends)
    with _Mode(create_graph):
        values = _evaluate([n for n in nodes if n is not None], known)
    if not keep and modes.trace is None:
        for value in history:
            if value.leaf is None:
                value.sources = None
    return [None if node is None else values[node] for node in nodes]


def _canonical_vjp(
    seeds: dict[Node, Node], wrt: Sequence[Node], ends: set[Node], history: dict[Value, None]
) -> list[Node | None]:
    """As ``vjp``, of the canonical form of the forward nodes, which keeps less for backward.

    The region between ``ends`` and the outputs is cut out over fresh inputs, so that no rewriting
    can look behind a detached value, and the derivatives are put back over the real nodes.
    """
    cut = {node: make.input_node(node.type, "") for node in ends}
    inner = dict(cut)
    for value in history:
        node = value.node
        if node not in inner:
            inner[node] = with_inputs(node, [inner[source] for source in node.inputs])
    canonical = canonicalise_nodes([inner[node] for node in seeds])
    heads: dict[Node, Node] = {}
    for node, seed in seeds.items():
        head = canonical[inner[node]]
        heads[head] = make.add(heads[head], seed) if head in heads else seed
    parts = vjp(heads, [cut[node] for node in wrt])
    back = {placed: node for node, placed in cut.items()}
    for node in toposort([part for part in parts if part is not None]):
        if node not in back:
            back[node] = with_inputs(node, [back[source] for source in node.inputs])
    return [None if part is None else back[part] for part in parts]


class _Hooked:
    """Derivatives where hooks stand on the way: from the outputs to the first, and so on.

    The cotangent of a hooked node is the sum of what arrives from the outputs and from the hooked
    nodes before it; nothing flows through it until its hooks have seen it.
    """

    def __init__(
        self,
        like: Tensor,
        known: dict[Node, Value],
        ends: set[Node],
        targets: Sequence[Node],
        stops: Sequence[tuple[Any, dict[int, Value]]],
        create_graph: bool,
    ) -> None:
        self.like, self.known, self.ends, self.wrt = like, known, ends, targets
        self.stops, self.create_graph = stops, create_graph
        hooked = [value.node for _, members in stops for value in members.values()]
        self.hooked = dict.fromkeys(hooked)
        self.found: dict[Node, Node] = {}
        self.before: dict[Node, Node] = {}  # of computed targets, which PyTorch takes unhooked

    def flow(self, seeds: dict[Node, Node]) -> list[Node | None]:
        """The cotangents of the targets."""
        for node in self.hooked:
            if node in seeds:
                self._add(node, seeds[node])
        self._spread({n: seed for n, seed in seeds.items() if n not in self.hooked})
        for point, members in self.stops:
            arrived = {at: v for at, v in members.items() if v.node in self.found}
            if arrived:
                self._call(point, arrived)
                passed = [v.node for v in arrived.values() if v.node not in self.ends]
                self._spread({node: self.found[node] for node in passed})
        return [self.before.get(node, self.found.get(node)) for node in self.wrt]

    def _spread(self, seeds: dict[Node, Node]) -> None:
        if not seeds:
            return
        targets = [n for n in dict.fromkeys([*self.wrt, *self.hooked]) if self._open(n, seeds)]
        stop = self.ends | (self.hooked.keys() - seeds.keys())
        for node, part in zip(targets, vjp(seeds, targets, stop), strict=True):
            if part is not None:
                self._add(node, part)

    def _open(self, node: Node, seeds: dict[Node, Node]) -> bool:
        return node not in seeds or node not in self.hooked

    def _add(self, node: Node, part: Node) -> None:
        old = self.found.get(node)
        self.found[node] = part if old is None else make.add(old, part)

    def _call(self, point: Any, arrived: dict[int, Value]) -> None:
        plain = self.like._plain
        with _Mode(self.create_graph):
            values = _evaluate([self.found[v.node] for v in arrived.values()], self.known)
            grads = {at: plain._from_value(values[self.found[v.node]]) for at, v in arrived.items()}
            changed = point.run(grads)
            for at, value in arrived.items():
                grad = cast(changed[at], value.type.dtype)
                if grad.value.type != value.type:
                    text = f"a hook returned a gradient {grad.value.type} for {value.type}"
                    raise ShapeError(message(user_location(), text))
                if value.leaf is None:
                    self.before[value.node] = self.found[value.node]
                self.found[value.node] = grad.value.node
                self.known[grad.value.node] = grad.value


class _Mode:
    """History of the derivatives themselves: only with ``create_graph``."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self.outer, modes.grad = modes.grad, self.mode

    def __exit__(self, *exc: object) -> None:
        modes.grad = self.outer


def _seed(x: Tensor, cotangent: Tensor | None) -> Value:
    value = x.value
    if not value.requires_grad:
        text = "this tensor does not require grad and has no history to differentiate"
        hint = "is a parameter missing requires_grad, or does no_grad enclose the computation?"
        raise AutogradError(message(user_location(), text, hint))
    if cotangent is None:
        if value.type.shape != ():
            if value.type.numel == 1:
                return _constant_one(value)
            raise AutogradError(
                message(
                    user_location(),
                    f"grad can be implicitly created only for scalar outputs, not {value.type}",
                    "reduce it with .mean() or .sum(), or pass gradient=",
                )
            )
        return _constant_one(value)
    if cotangent.value.type != value.type:
        text = f"gradient {cotangent.value.type} for an output {value.type}"
        raise ShapeError(message(user_location(), text))
    return cotangent.value


def _constant_one(value: Value) -> Value:
    traced = modes.trace is not None
    array = None if traced else np.ones(known_sizes(value.type.shape), value.type.dtype)
    one = make.full(1.0, value.type.dtype, value.type.shape)
    return Value(value.type, array, one, home=value.home)


def _evaluate(roots: Sequence[Node], known: dict[Node, Value]) -> dict[Node, Value]:
    """The values of gradient nodes; forward nodes are ``known``, and must not be overwritten."""
    values: dict[Node, Value] = {}
    for node in _order(roots, known):
        value = known.get(node)
        if value is None:
            given = [values[source] for source in node.inputs]
            value = record(node, given, joint_home(given))
            if modes.grad:
                value.keep_node(node)  # the history of the next derivative names it
        elif modes.trace is None and value.overwritten:
            raise AutogradError(
                message(
                    node.loc or user_location(),
                    f"a value needed for the gradient ({value.type}) has been modified by an "
                    "inplace operation",
                    "write out of place, or clone() the value before it is used",
                )
            )
        values[node] = value
    return values


def _order(roots: Sequence[Node], known: dict[Node, Value]) -> list[Node]:
    """Nodes needed for the roots, producers first, not looking behind known ones."""
    order: dict[Node, None] = {}
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if node in order:
            continue
        if ready or node in known:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((s, False) for s in reversed(node.inputs))
    return list(order)


def _accumulate(leaf: Tensor, part: Tensor, create_graph: bool) -> None:
    part = at_home(part, leaf._cell.home)
    old = leaf.grad
    if old is None:
        leaf.grad = _owned(part)
    elif create_graph or old.requires_grad:
        leaf.grad = old + part
    else:
        with _Mode(False):
            old._assign((old + part).value)


def _owned(part: Tensor) -> Tensor:
    """A gradient in memory of its own: rules hand on views and shared cotangents."""
    if modes.trace is not None or part.value.requires_grad:
        return part
    owned = part._plain._from_array(np.array(part.value.array, order="C"))
    owned._cell.home = part.value.home
    return owned
