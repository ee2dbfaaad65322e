"""Functions to call around ``forward``, or around saving and loading, in; handles out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from engine.guards import bump_module_epoch
from engine.handles import RemovableHandle
from engine.nn.backward_hooks import ModuleBackward

Hook: TypeAlias = Callable[..., Any]


class Hooks:
    """The hooks of one module for each moment, in the order of their registration."""

    def __init__(self) -> None:
        self.before: dict[int, Hook] = {}
        self.after: dict[int, Hook] = {}
        self.before_backward: dict[int, Hook] = {}
        self.backward: dict[int, Hook] = {}
        self.save: dict[int, Hook] = {}
        self.saved: dict[int, Hook] = {}
        self.load: dict[int, Hook] = {}
        self.loaded: dict[int, Hook] = {}
        self._always: set[int] = set()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.backward or self.before_backward)

    def add(
        self, home: dict[int, Hook], hook: Hook, prepend: bool = False, always: bool = False
    ) -> RemovableHandle:
        """Register ``hook`` in one of the dictionaries; ``prepend`` puts it in front."""
        self._count += 1
        others = dict(home) if prepend else {}
        if prepend:
            home.clear()
        home[self._count] = hook
        home.update(others)
        if always:
            self._always.add(self._count)
        bump_module_epoch()
        return RemovableHandle(home, self._count)

    def _backward(self, module: Any) -> ModuleBackward | None:
        hooks, before = list(self.backward.values()), list(self.before_backward.values())
        return ModuleBackward(module, hooks, before) if hooks or before else None

    def around(
        self, module: Any, forward: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call ``forward`` with every hook around it."""
        done: set[int] = set()
        try:
            for hook in list(self.before.values()):
                args, kwargs = hook(module, args, kwargs)
            back = self._backward(module)
            args = args if back is None else back.inputs(args)
            output = forward(*args, **kwargs)
            for key, hook in list(self.after.items()):
                done.add(key)
                changed = hook(module, args, kwargs, output)
                output = output if changed is None else changed
            output = output if back is None else back.outputs(output)
        except Exception:
            for key, hook in list(self.after.items()):
                if key in self._always and key not in done:
                    hook(module, args, kwargs, None)
            raise
        return output


def before_forward(hook: Hook, with_kwargs: bool) -> Hook:
    """``hook`` as one that takes and returns both positional and named arguments."""

    def run(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if changed is None:
            return args, kwargs
        if not with_kwargs:
            return changed if isinstance(changed, tuple) else (changed,), kwargs
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise RuntimeError("a forward pre-hook with kwargs returns None or (args, kwargs)")
        return changed

    return run


def after_forward(hook: Hook, with_kwargs: bool) -> Hook:
    """``hook`` as one that takes named arguments too."""
    if with_kwargs:
        return hook
    return lambda module, args, kwargs, output: hook(module, args, output)


class Hooked:
    """The registrations that a module offers."""

    _hooks: Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; what it returns replaces the args.

        ``with_kwargs``: it is ``hook(module, args, kwargs)``, and returns a pair of them or None.
        """
        return self._hooks.add(self._hooks.before, before_forward(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; a result replaces the output.

        ``with_kwargs``: it is ``hook(module, args, kwargs, output)``. ``always_call``: it is called
        (with output None) where ``forward`` raises, too.
        """
        return self._hooks.add(
            self._hooks.after, after_forward(hook, with_kwargs), prepend, always_call
        )

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` once the inputs' gradients are known.

        Both are tuples: of the positional arguments, and of the outputs; None for what has no
        gradient. A tuple that it returns takes the place of ``grad_input``.
        """
        return self._hooks.add(self._hooks.backward, hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before the module's gradients are computed.

        A tuple that it returns takes the place of ``grad_output``.
        """
        return self._hooks.add(self._hooks.before_backward, hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before ``state_dict`` reads this module."""
        return self._hooks.add(self._hooks.save, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, {})``, which may change the state in place."""
        return self._hooks.add(self._hooks.saved, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, {}, strict, [], [], [])`` before loading."""
        return self._hooks.add(self._hooks.load, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the lists."""
        return self._hooks.add(self._hooks.loaded, hook)
