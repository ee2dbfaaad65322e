"""Parameters and their gradients in, moved parameters out: what every optimizer shares.

Hyper-parameters live in ``param_groups``, plain dicts that anyone may change. A step reads each
one through ``number`` or ``flag``: inside a compiled step a number is a run-time input, so a
schedule never recompiles, and a flag is a guard, so a change is never missed. Slots (momentum,
moments, step counts) are tensors of zeros from the start, so that the first step and every later
one are the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from engine.guards import bump_module_epoch
from engine.modes import enable_grad, modes, no_grad
from engine.nn.functional.checks import misfit
from engine.tensor import Tensor
from engine.trace import runtime_scalar

Group: TypeAlias = dict[str, Any]
Slots: TypeAlias = dict[str, Any]
_NUMBERS = {"step", "mu_product", "eta", "mu"}  # slots of one float32 number, as in PyTorch
_SCHEDULED = {"initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"}
Params: TypeAlias = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]


class Optimizer:
    """Base of all optimizers; a subclass writes ``slots_for`` and ``update``.

    ``state`` maps each parameter to its slots; ``param_groups`` holds the hyper-parameters.
    """

    def __init__(self, params: Params, defaults: Group) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, Slots] = {}
        if isinstance(params, Tensor):
            raise TypeError("params must be an iterable of tensors or dicts, not a Tensor")
        items: list[Any] = list(params)
        if not items:
            raise ValueError("optimizer got an empty parameter list")
        for group in items if isinstance(items[0], dict) else [{"params": items}]:
            self.add_param_group(group)

    def slots_for(self, param: Tensor, group: Group) -> Slots:
        """The slots that a step on ``param`` needs, before any step."""
        raise NotImplementedError

    def update(self, param: Tensor, grad: Tensor, slots: Slots, group: Group) -> None:
        """Move ``param`` and its slots by one step, in place."""
        raise NotImplementedError

    def check(self, group: Group) -> None:
        """ValueError for hyper-parameters outside their range."""
        for name, label in (("lr", "learning rate"), ("weight_decay", "weight_decay value")):
            if not group.get(name, 0.0) >= 0.0:
                raise ValueError(f"Invalid {label}: {group[name]}")

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with hyper-parameters of their own; defaults fill the rest."""
        params = param_group["params"]
        items: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        tensors = [item[1] if isinstance(item, tuple) else item for item in items]
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, not {type(tensor).__name__}")
            if not tensor.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(tensor) in known:
                raise ValueError("some parameters appear in more than one parameter group")
            known.add(id(tensor))
        group = {**param_group, "params": tensors}
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self.check(group)
        self.param_groups.append(group)
        for tensor in tensors:
            if tensor.requires_grad:
                self._slots(tensor, group)
        bump_module_epoch()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient, or set it to zeros."""
        if modes.trace is not None:
            modes.trace.touched.append(self)
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.grad = None if set_to_none else param.grad.detach() * 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; returns what ``closure`` returns."""
        if modes.trace is not None:
            modes.trace.touched.append(self)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    grad = param.grad
                    if grad is not None:
                        grad = -grad if self.flag(group, "maximize") else grad
                        self.update(param, grad, self._slots(param, group), group)
        return loss

    def number(self, group: Group, read: str | Callable[[Group], float]) -> Any:
        """A hyper-parameter: a run-time input inside a compiled step, else a Python number.

        A function ``read`` must be one object at every call: it names the input.
        """
        if isinstance(read, str):
            return runtime_scalar(self, lambda: float(group[read]))
        return runtime_scalar(self, lambda: float(read(group)))

    def flag(self, group: Group, name: str) -> bool:
        """Whether a hyper-parameter is set (or not zero), guarded inside a compiled step."""
        return bool(runtime_scalar(self, lambda: float(bool(group[name]))))

    def state_dict(self) -> dict[str, Any]:
        """Slots and hyper-parameters, parameters by number: PyTorch's keys."""
        order = self._numbered()
        state = {
            at: {name: value.detach() for name, value in self.state[param].items()}
            for at, param in enumerate(order)
            if param in self.state
        }
        groups, at = [], 0
        for group in self.param_groups:
            count = len(group["params"])
            groups.append({**group, "params": list(range(at, at + count))})
            at += count
        return {"state": {k: v for k, v in state.items() if v}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy slots and hyper-parameters in; an error leaves both as they were."""
        groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in groups]
        own = [len(group["params"]) for group in self.param_groups]
        if sizes != own:
            raise ValueError(
                f"loaded state dict has parameter groups of {sizes} parameters, "
                f"the optimizer has groups of {own}"
            )
        numbers = [number for group in groups for number in group["params"]]
        owner = dict(zip(numbers, self._numbered(), strict=True))
        writes = []
        for number, slots in state_dict["state"].items():
            writes += _fitting(int(number), owner[int(number)], slots)
        for group, loaded in zip(self.param_groups, groups, strict=True):
            known = (group.keys() | _SCHEDULED) - {"params"}
            group.update({k: v for k, v in loaded.items() if k in known})
        with no_grad():
            for param, name, array in writes:
                self._fill(param, name, array)

    def _fill(self, param: Tensor, name: str, array: Any) -> None:
        """Write one slot, in place where it exists, so that compiled steps keep it."""
        slots = self.state.setdefault(param, {})
        if name in slots:
            slots[name].copy_(Tensor._from_array(array))
        else:
            slots[name] = Tensor._from_array(np.array(array))
            bump_module_epoch()

    def _numbered(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    def _slots(self, param: Tensor, group: Group) -> Slots:
        slots = self.state.setdefault(param, {})
        for name, value in self.slots_for(param, group).items():
            slots.setdefault(name, value)
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


def _fitting(number: int, param: Tensor, slots: Mapping[str, Any]) -> list[tuple[Any, str, Any]]:
    """The slots of one parameter as arrays; an error where a shape is not the parameter's."""
    found = []
    for name, value in slots.items():
        if value is None:
            continue
        array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.shape not in ((), tuple(param.shape)):
            raise misfit(
                f"optimizer state '{name}' of parameter {number} has shape {list(array.shape)}, "
                f"the parameter {list(param.shape)}",
                "the checkpoint belongs to another model, or the parameters come in another order",
            )
        dtype = np.float32 if array.ndim == 0 and name in _NUMBERS else param.dtype
        found.append((param, name, array.astype(dtype)))
    return found
