"""Functions to call on gradients in, handles out; and the points of a history that have some.

A point stands at one or more values of the history. ``backward`` stops there, hands over the
gradients that arrived, and goes on with what comes back. Inside a trace the gradients are nodes,
so hooks become part of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.errors import AutogradError, message
from engine.guards import bump_module_epoch
from engine.handles import RemovableHandle
from engine.locate import user_location

if TYPE_CHECKING:
    from engine.storage import Value
    from engine.tensor import Tensor

Hook: TypeAlias = Callable[..., Any]
Grads: TypeAlias = "dict[int, Tensor]"
_keys = count()


class TensorHooks:
    """The hooks of one tensor: on its gradient, and (a leaf's) after it was added to ``.grad``."""

    def __init__(self) -> None:
        self.hooks: dict[int, Hook] = {}
        self.after: dict[int, Hook] = {}
        self.kept: Tensor | None = None

    def run(self, grads: Grads) -> Grads:
        """The gradient after every hook; kept as ``.grad`` where that was asked for."""
        grad = grads[0]
        for hook in list(self.hooks.values()):
            changed = hook(grad)
            grad = grad if changed is None else changed
        if self.kept is not None:
            old = self.kept.grad
            self.kept.grad = grad.detach().clone() if old is None else old + grad.detach()
        return {0: grad}

    def add(self, home: dict[int, Hook], hook: Hook) -> RemovableHandle:
        """Put ``hook`` at the end of ``home``."""
        key = next(_keys)
        home[key] = hook
        bump_module_epoch()
        return RemovableHandle(home, key)

    def __bool__(self) -> bool:
        return bool(self.hooks) or self.kept is not None


def hooks_of(x: Tensor) -> TensorHooks:
    """Where a tensor's hooks are: with a leaf, or with the value that was computed."""
    if not x.requires_grad:
        text = "cannot register a hook on a tensor that doesn't require gradient"
        raise AutogradError(message(user_location(), text))
    if x.is_leaf:
        own: TensorHooks = TensorHooks() if x._hooks is None else x._hooks
        x._hooks = own
        return own
    point = x.value.hooks
    if point is None:
        point = x.value.hooks = (TensorHooks(), 0)
    found: TensorHooks = point[0]
    return found


def register_hook(x: Tensor, hook: Hook) -> RemovableHandle:
    """Call ``hook(grad)`` in every ``backward``; what it returns (unless None) is used instead."""
    found = hooks_of(x)
    return found.add(found.hooks, hook)


def register_post_accumulate_grad_hook(x: Tensor, hook: Hook) -> RemovableHandle:
    """Call ``hook(x)`` after ``backward`` has added to the leaf's ``.grad``."""
    found = hooks_of(x)
    if not x.is_leaf:
        text = "post accumulate grad hooks cannot be registered on non-leaf tensors"
        raise AutogradError(message(user_location(), text))
    return found.add(found.after, hook)


def retain_grad(x: Tensor) -> None:
    """Let ``backward`` set ``.grad`` of a computed tensor too."""
    if not x.requires_grad:
        text = "can't retain_grad on Tensor that has requires_grad=False"
        raise AutogradError(message(user_location(), text))
    if not x.is_leaf:
        hooks_of(x).kept = x


def point_of(value: Value) -> tuple[Any, int] | None:
    """The point at a value of the history and its place there, if it has hooks."""
    if value.leaf is not None:
        own = value.leaf._hooks
        return (own, 0) if own else None
    return value.hooks if value.hooks and value.hooks[0] else None


def points(history: Iterable[Value]) -> list[tuple[Any, dict[int, Value]]]:
    """The points of a history (sources first), each after all that its gradients come through."""
    listed = list(history)
    members: dict[int, tuple[Any, dict[int, Value]]] = {}
    bits: dict[int, int] = {}
    for value in listed:
        found = point_of(value)
        if found is not None:
            point, place = found
            members.setdefault(id(point), (point, {}))[1][place] = value
            bits.setdefault(id(point), 1 << len(bits))
    if not members:
        return []
    needs = _needs(listed, bits)
    order: list[tuple[Any, dict[int, Value]]] = []
    waiting = dict.fromkeys(members)
    while waiting:
        left = sum(bits[key] for key in waiting)
        ready = next((key for key in waiting if not needs[key] & left & ~bits[key]), None)
        key = next(iter(waiting)) if ready is None else ready
        order.append(members[key])
        del waiting[key]
    return order


def _needs(history: list[Value], bits: dict[int, int]) -> dict[int, int]:
    """For each point, as bits, the points between it and the outputs."""
    through: dict[Value, int] = {}
    needs = dict.fromkeys(bits, 0)
    for value in reversed(history):
        seen = through.get(value, 0)
        found = point_of(value)
        if found is not None:
            needs[id(found[0])] |= seen
            seen |= bits[id(found[0])]
        for source in value.sources or ():
            through[source] = through.get(source, 0) | seen
    return needs
