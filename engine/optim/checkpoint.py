"""An optimizer in, its state dict in PyTorch's form out; and such a dict read back.

Parameters go by their number. A parameter that no step has moved has no state, as in PyTorch,
whose state begins with the first step.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.nn.functional.checks import misfit
from engine.tensor import Tensor
from ir.types import is_float

Loaded: TypeAlias = dict[str, Any]


def collect(optimizer: Any) -> dict[str, Any]:
    """``{"state": {number: slots}, "param_groups": [...]}``."""
    groups: list[dict[str, Any]] = []
    state: dict[int, Any] = {}
    at = 0
    for group in optimizer.param_groups:
        for number, param in enumerate(group["params"], at):
            slots = optimizer.state.get(param, {})
            if slots and optimizer.has_moved(param, group):
                state[number] = {name: _shared(value) for name, value in slots.items()}
        end = at + len(group["params"])
        plain = {name: value for name, value in group.items() if name != "params"}
        groups.append({**copy.copy(plain), "params": list(range(at, end))})
        at = end
    return {"state": state, "param_groups": groups}


def settings(optimizer: Any, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each parameter group will be; ValueError where the groups do not match."""
    groups = state_dict["param_groups"]
    sizes = [len(group["params"]) for group in groups]
    own = [len(group["params"]) for group in optimizer.param_groups]
    if sizes != own:
        raise ValueError(
            f"loaded state dict has parameter groups of {sizes} parameters, "
            f"the optimizer has groups of {own}"
        )
    merged = []
    for group, loaded in zip(optimizer.param_groups, groups, strict=True):
        fresh = {name: _setting(value) for name, value in loaded.items() if name != "params"}
        merged.append({**group, **fresh})
    return merged


def slots_of(
    optimizer: Any, state_dict: Mapping[str, Any], groups: Sequence[dict[str, Any]]
) -> dict[Tensor, Loaded]:
    """The saved slots of each parameter, in the dtypes of the optimizer's own.

    An error where a slot's shape is not the one that the optimizer needs.
    """
    numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
    owners = [(param, group) for group in groups for param in group["params"]]
    owner = dict(zip(numbers, owners, strict=True))
    found: dict[Tensor, Loaded] = {}
    for number, slots in state_dict["state"].items():
        param, group = owner[number if number in owner else int(number)]
        makers = optimizer.slots_for(param, group)
        found[param] = {
            name: _fitting(number, param, name, value, makers.get(name))
            for name, value in slots.items()
            if value is not None
        }
    return found


def _fitting(number: Any, param: Tensor, name: str, value: Any, make: Any) -> Any:
    """One slot; ``make`` makes the optimizer's own, None for a name that it does not know."""
    if make is None:
        return _adopted(value, param, name)
    own = make()
    array = value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.shape != tuple(own.shape):
        raise misfit(
            f"optimizer state '{name}' of parameter {number} has shape {list(array.shape)}, "
            f"not {list(own.shape)}",
            "the checkpoint belongs to another model, or the parameters come in another order",
        )
    return Tensor._from_array(array.astype(own.dtype))


def _adopted(value: Any, param: Tensor, name: str) -> Any:
    """A slot of a kind that only the optimizer knows: tensors copied, in lists too."""
    if isinstance(value, list | tuple):
        return [_adopted(item, param, name) for item in value]
    if value is None or isinstance(value, int | float | str):
        return value
    array = value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    cast = is_float(array.dtype) and name != "step"
    return Tensor._from_array(np.array(array, param.dtype if cast else array.dtype))


def _shared(value: Any) -> Any:
    """A slot as it goes into a state dict: without history, in the same memory."""
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return value.detach() if isinstance(value, Tensor) else value


def _setting(value: Any) -> Any:
    """A hyper-parameter of our own: another library's number becomes Python's."""
    foreign = hasattr(value, "item") and not isinstance(value, Tensor)
    return value.item() if foreign else copy.deepcopy(value)
