"""A module's call in, points of the history at its inputs and outputs out.

Inputs and outputs go through a node of their own, so that their gradients are those of this call
alone. The second node beside each keeps hooks that a user puts on the same tensor apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.dispatch import apply, view
from engine.modes import modes
from engine.tensor import Tensor

Hook = Callable[..., Any]


class _Point:
    """A place where ``backward`` stops: ``run`` takes gradients by place and gives others."""

    def __init__(self, run: Callable[[dict[int, Tensor]], dict[int, Tensor]]) -> None:
        self.run = run
        self.kept = None


class ModuleBackward:
    """One call of a module with hooks on its gradients."""

    def __init__(self, module: Any, hooks: Sequence[Hook], before: Sequence[Hook]) -> None:
        self.module, self.hooks, self.before = module, hooks, before
        self.sizes = [0, 0]
        self.waits = False
        self.grad_outputs: Any = None

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of the call, watched."""
        self.sizes[0] = len(args)
        watched, found = _watched(args, _Point(self._at_inputs))
        self.waits = found
        return watched

    def outputs(self, result: Any) -> Any:
        """The result of the call, watched: a tensor, or a tuple of them."""
        single = not isinstance(result, tuple)
        items = (result,) if single else result
        self.sizes[1] = len(items)
        watched, _ = _watched(items, _Point(self._at_outputs))
        if single:
            return watched[0]
        return type(result)(*watched) if hasattr(result, "_fields") else watched

    def _at_outputs(self, grads: dict[int, Tensor]) -> dict[int, Tensor]:
        packed = tuple(grads.get(at) for at in range(self.sizes[1]))
        for hook in self.before:
            packed = _checked(hook(self.module, packed), packed, "pre hook", "grad_output")
        self.grad_outputs = packed
        if not self.waits:
            empty = (None,) * self.sizes[0]
            for hook in self.hooks:
                out = hook(self.module, empty, packed)
                if out is not None and any(part is not None for part in out):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should "
                        "always return None or None for all gradients."
                    )
        return _by_place(packed, grads)

    def _at_inputs(self, grads: dict[int, Tensor]) -> dict[int, Tensor]:
        if self.grad_outputs is None:  # the inputs went round the outputs
            return grads
        packed = tuple(grads.get(at) for at in range(self.sizes[0]))
        for hook in self.hooks:
            out = hook(self.module, packed, self.grad_outputs)
            packed = _checked(out, packed, "hook", "grad_input")
        self.grad_outputs = None
        return _by_place(packed, grads)


def _watched(items: tuple[Any, ...], point: _Point) -> tuple[tuple[Any, ...], bool]:
    """The items, those with gradients behind ``point``; and whether there is one."""
    out = list(items)
    found = False
    for at, item in enumerate(items):
        if modes.grad and isinstance(item, Tensor) and item.requires_grad:
            inner = _same(item)
            inner.value.hooks = (point, at)
            out[at] = _same(inner)
            found = True
    return tuple(out), found


def _same(x: Tensor) -> Tensor:
    """``x`` as the result of an op of its own."""
    make = apply if modes.trace is not None else view
    return make("reshape", x, shape=x.value.type.shape)


def _checked(out: Any, packed: tuple[Any, ...], hook: str, what: str) -> tuple[Any, ...]:
    if out is None:
        return packed
    parts = out if isinstance(out, tuple) else (out,)
    if len(parts) != len(packed):
        raise RuntimeError(
            f"Backward {hook} returned an invalid number of {what}, got {len(parts)}, "
            f"but expected {len(packed)}"
        )
    return parts


def _by_place(packed: tuple[Any, ...], grads: dict[int, Tensor]) -> dict[int, Tensor]:
    """By place again; a gradient taken away is zero."""
    return {at: grad * 0 if packed[at] is None else packed[at] for at, grad in grads.items()}
