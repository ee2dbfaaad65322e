"""Parameters and their gradients in, moved parameters out: what every optimizer shares.

Hyper-parameters live in ``param_groups``, plain dicts that anyone may change. A step reads each
one through ``number`` or ``flag``: inside a compiled step a number is a run-time input, so a
schedule never recompiles, and a flag is a guard, so a change is never missed. Slots (momentum,
moments, step counts) are tensors of zeros from the start, so that the first step and every later
one are the same program.

``foreach``, ``fused`` and ``capturable`` say how PyTorch launches its kernels. They are taken,
kept and saved, and change nothing: under ``jit`` the whole step is one program.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from engine.errors import Unsupported, message
from engine.guards import bump_module_epoch
from engine.handles import RemovableHandle
from engine.locate import user_location
from engine.modes import enable_grad, modes, no_grad
from engine.optim import checkpoint
from engine.optim.hooks import Hook, StepHooks
from engine.tensor import Tensor
from engine.trace import runtime_scalar

Group: TypeAlias = dict[str, Any]
Slots: TypeAlias = dict[str, Any]
Makers: TypeAlias = Mapping[str, Callable[[], Tensor]]
Rate: TypeAlias = float | Tensor
Params: TypeAlias = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]


class Optimizer:
    """Base of all optimizers; a subclass writes ``slots_for`` and ``update``.

    ``state`` maps each parameter to its slots; ``param_groups`` holds the hyper-parameters.
    One written for PyTorch, with a ``step`` of its own over ``self.state``, runs outside ``jit``.
    """

    def __init__(self, params: Params, defaults: Group) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: defaultdict[Tensor, Slots] = defaultdict(dict)
        self._hooks = StepHooks()
        if isinstance(params, Tensor):
            raise TypeError("params must be an iterable of tensors or dicts, not a Tensor")
        items: list[Any] = list(params)
        if not items:
            raise ValueError("optimizer got an empty parameter list")
        for group in items if isinstance(items[0], dict) else [{"params": items}]:
            self.add_param_group(group)

    def slots_for(self, param: Tensor, group: Group) -> Makers:
        """The slots that a step on ``param`` needs: for each name, what makes its first value."""
        return {}

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        """Move ``param`` and its slots by one step, in place."""
        raise NotImplementedError

    def check(self, group: Group) -> None:
        """ValueError for hyper-parameters outside their range."""
        rate = group.get("lr")
        if isinstance(rate, Tensor) and rate.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for name, label in (("lr", "learning rate"), ("weight_decay", "weight_decay value")):
            if not group.get(name, 0.0) >= 0.0:
                raise ValueError(f"Invalid {label}: {group[name]}")
        check_switches(group)

    def has_moved(self, param: Tensor, group: Group) -> bool:
        """Whether a step has moved ``param``, so that its slots are worth saving."""
        step = self.state[param].get("step", 1)
        return bool(step.item() if isinstance(step, Tensor) else step)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with hyper-parameters of their own; defaults fill the rest."""
        group = _named_apart(param_group)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for tensor in group["params"]:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, not {type(tensor).__name__}")
            if not tensor.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(tensor) in known:
                raise ValueError("some parameters appear in more than one parameter group")
        if any(("param_names" in other) != ("param_names" in group) for other in self.param_groups):
            raise ValueError("all optimizer param groups should be with/without names")
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self.check(group)
        if len({id(tensor) for tensor in group["params"]}) < len(group["params"]):
            text = "optimizer contains a parameter group with duplicate parameters"
            warnings.warn(f"{text}; a step moves them twice", stacklevel=3)
        self.param_groups.append(group)
        for tensor in group["params"]:
            if tensor.requires_grad:
                self._slots(tensor, group)
        bump_module_epoch()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient, or set it to zeros."""
        if modes.trace is not None:
            modes.trace.touched.append(self)
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:  # without asking for the old one, which would be a guard
                    param.grad = None
                elif param.grad is not None:
                    param.grad = _zeroed(param.grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; returns what ``closure`` returns."""
        if modes.trace is not None:
            modes.trace.touched.append(self)
        return self._hooks.around(self, self._move, closure)

    def _move(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    grad = param.grad
                    if grad is not None:
                        turned = "maximize" in group and self.flag(group, "maximize")
                        grad = -grad if turned else grad
                        self.update(param, grad, self._slots(param, group), group)
        return loss

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step; it may return new ones."""
        return self._hooks.add(self._hooks.before, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step."""
        return self._hooks.add(self._hooks.after, hook)

    def number(self, group: Group, read: str | Callable[[Group], float]) -> Any:
        """A hyper-parameter: a run-time input inside a compiled step, else a Python number.

        A function ``read`` must be one object at every call: it names the input.
        """
        if isinstance(read, str):
            return runtime_scalar(self, lambda: _plain(group[read]))
        return runtime_scalar(self, lambda: float(read(group)))

    def flag(self, group: Group, name: str) -> bool:
        """Whether a hyper-parameter is set (or not zero), guarded inside a compiled step."""
        return bool(runtime_scalar(self, lambda: float(bool(group[name]))))

    def state_dict(self) -> dict[str, Any]:
        """Slots and hyper-parameters, parameters by number: PyTorch's keys."""
        return checkpoint.collect(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy slots and hyper-parameters in; an error leaves both as they were.

        A parameter that the state does not name begins anew.
        """
        groups = checkpoint.settings(self, state_dict)
        for group in groups:
            check_switches(group)
        loaded = checkpoint.slots_of(self, state_dict, groups)
        with no_grad():
            for group, merged in zip(self.param_groups, groups, strict=True):
                group.update(merged)
                for param in group["params"]:
                    if param in self.state or param in loaded:
                        self._restart(param, group, loaded.get(param, {}))

    def _restart(self, param: Tensor, group: Group, loaded: Slots) -> None:
        """Give ``param`` these slots, in place where one exists, so that compiled steps keep it."""
        old, slots = self.state[param], dict(loaded)
        for name, make in self.slots_for(param, group).items():
            if name not in slots:
                slots[name] = make()
        for name, value in slots.items():
            held = old.get(name)
            if isinstance(held, Tensor) and isinstance(value, Tensor) and _alike(held, value):
                slots[name] = held.copy_(value)
        if any(slots.get(name) is not value for name, value in old.items()) or slots.keys() - old:
            bump_module_epoch()
        self.state[param] = slots

    def _slots(self, param: Tensor, group: Group) -> Slots:
        slots = self.state[param]
        for name, make in self.slots_for(param, group).items():
            if name not in slots:
                slots[name] = make()
        return slots

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for at, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {at}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def zeros_slot(param: Tensor) -> Tensor:
    """Zeros of the parameter's shape and dtype, concrete even inside a trace."""
    return Tensor._from_array(np.zeros(tuple(param.shape), param.dtype))


def counter_slot() -> Tensor:
    """A count of steps, float32 as in PyTorch."""
    return Tensor._from_array(np.zeros((), np.float32))


def check_switches(group: Group) -> None:
    """An error for ``differentiable``, and for kernels asked for in two ways at once."""
    if group.get("fused") and group.get("differentiable"):
        raise RuntimeError("`fused` does not support `differentiable`")
    if group.get("fused") and group.get("foreach"):
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if group.get("differentiable"):
        text = "an optimizer with differentiable=True"
        hint = "write the update out of place and take engine.grad of it"
        raise Unsupported(message(user_location(), text, hint))


def _named_apart(param_group: Group) -> Group:
    """A copy of a group whose parameters are a list, and the names of named ones."""
    if not isinstance(param_group, dict):
        raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
    params = param_group["params"]
    if isinstance(params, set):
        text = "optimizer parameters need to be organized in ordered collections"
        raise TypeError(f"{text}, but sets have no order; use a list")
    items: list[Any] = [params] if isinstance(params, Tensor) else list(params)
    names = [item[0] for item in items if isinstance(item, tuple)]
    if names and len(names) != len(items):
        raise ValueError("all optimizer params should be with/without names")
    group = {**param_group, "params": [x[1] for x in items] if names else items}
    return {**group, "param_names": names} if names else group


def _zeroed(grad: Tensor) -> Tensor:
    with no_grad():
        zeroed: Tensor = (grad.detach() if grad.requires_grad else grad).zero_()
    return zeroed


def _alike(held: Tensor, value: Tensor) -> bool:
    return held.shape == value.shape and held.dtype == value.dtype


def _plain(value: Any) -> float:
    """A number, also one in a tensor, which a compiled step reads at every call."""
    if isinstance(value, Tensor) and value._cell.array is not None:
        return float(value._cell.array.item())
    return float(value)
