"""A module tree in; its members by name, its state, its text out, and a state copied back in.

Functions over ``Module``'s three dictionaries, kept apart from the class so that the class reads
as a list of what it offers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from engine.creation import from_numpy
from engine.device import home_of, names_device
from engine.dtypes import as_dtype
from engine.errors import ShapeError
from engine.guards import bump_module_epoch
from engine.modes import no_grad
from engine.moving import moved
from engine.nn.functional.checks import misfit
from engine.nn.parameter import is_lazy
from engine.tensor import Tensor
from ir.types import is_float

_EXTRA = "_extra_state"
_SHOWN = 8  # an error stays within a screen: twelve lines, and most of them names


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What ``load_state_dict`` did not find, and what it found without a place for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


def named_members(
    module: Any, kind: str, prefix: str, recurse: bool, remove_duplicate: bool = True
) -> Iterator[tuple[str, Any]]:
    """The entries of one dictionary of every module below, by dotted name."""
    seen: set[int] = set()
    owners = (
        module.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        if recurse
        else [(prefix, module)]
    )
    for path, owner in owners:
        for name, member in getattr(owner, kind).items():
            if member is None or id(member) in seen:
                continue
            if remove_duplicate:
                seen.add(id(member))
            yield (f"{path}.{name}" if path else name), member


def find_submodule(module: Any, target: str) -> Any:
    """The module of a dotted name; AttributeError names the part that is missing."""
    for part in target.split(".") if target else []:
        inner = module._modules.get(part)
        if inner is None:
            raise AttributeError(f"{type(module).__name__} has no submodule `{part}`")
        module = inner
    return module


def collect(
    module: Any, prefix: str, keep_vars: bool, found: OrderedDict[str, Any]
) -> OrderedDict[str, Any]:
    """Every parameter and persistent buffer by dotted name, in PyTorch's order, into ``found``."""
    for hook in list(module._hooks.save.values()):
        hook(module, prefix, keep_vars)
    for name, member in _own(module):
        found[prefix + name] = member if keep_vars else member.detach()
    if module._has_extra_state:
        found[prefix + _EXTRA] = module.get_extra_state()
    for name, inner in module._modules.items():
        if inner is not None:
            inner.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in list(module._hooks.saved.values()):
        hook(module, found, prefix, {})
    return found


def _wanted(module: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """By name: the tensors that a state has to hold, and the modules that have more to load."""
    tensors: dict[str, Tensor] = {}
    extras: dict[str, Any] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        tensors.update((prefix + name, member) for name, member in _own(owner))
        if owner._has_extra_state:
            extras[prefix + _EXTRA] = owner
    return tensors, extras


def _prepared(module: Any, given: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    """The state to load, after every module's hooks have seen it."""
    changed = dict(given)
    for path, owner in module.named_modules():
        prefix = f"{path}." if path else ""
        for hook in list(owner._hooks.load.values()):
            hook(owner, changed, prefix, {}, strict, [], [], [])
    return changed


def restore(
    module: Any, state_dict: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Copy ``state_dict`` into ``module``; nothing is written unless everything fits."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"expected a mapping of names to tensors, not {type(state_dict).__name__}")
    state_dict = _prepared(module, state_dict, strict)
    wanted, extras = _wanted(module)
    missing = [name for name in (*wanted, *extras) if name not in state_dict]
    unexpected = [name for name in state_dict if name not in wanted and name not in extras]
    problems: list[str] = []
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_listed(unexpected)}.")
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_listed(missing)}.")
    known = [name for name in wanted if name in state_dict and not is_lazy(wanted[name])]
    values = {name: _as_array(name, state_dict[name], problems) for name in known}
    for name, value in values.items():
        if value is not None and tuple(value.shape) != tuple(wanted[name].shape):
            problems.append(
                f"size mismatch for {name}: copying a param with shape {list(value.shape)} from "
                f"checkpoint, the shape in current model is {list(wanted[name].shape)}."
            )
    if problems:
        raise _refused(module, problems)
    with no_grad():
        for name, value in values.items():
            _write(wanted[name], value, assign)
    for name, owner in extras.items():
        if name in state_dict:
            owner.set_extra_state(state_dict[name])
    keys = IncompatibleKeys(missing, unexpected)
    for owner in module.modules():
        for hook in list(owner._hooks.loaded.values()):
            hook(owner, keys)
    return keys


def _refused(module: Any, problems: list[str]) -> ShapeError:
    more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    head = f"Error(s) in loading state_dict for {type(module).__name__}:"
    text = "\n\t".join([head, *problems[:_SHOWN], *more])
    return misfit(text, hint="nothing was loaded; compare the two models' state_dict()")


def convert(module: Any, *args: Any, **kwargs: Any) -> None:
    """Cast floating parameters and buffers, or move them all; accepts ``.to``'s spellings."""
    given = [*args, *(kwargs[k] for k in ("device", "dtype", "tensor") if k in kwargs)]
    dtype = home = None
    for value in given:
        if isinstance(value, Tensor):
            dtype, home = value.dtype, value.value.home
        elif isinstance(value, bool) or value is None:
            continue  # non_blocking, copy
        elif names_device(value) or type(value) is int:
            home = home_of(value)
        else:
            dtype = as_dtype(value)
    if dtype is None and home is None:
        return
    if dtype is not None and not is_float(dtype):
        raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got {dtype}")
    for _, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            continue
        new = _converted(tensor.detach(), dtype, home)
        if new._cell is not tensor._cell:
            tensor.data = new
            if tensor.grad is not None:
                tensor.grad = _converted(tensor.grad, dtype, home)
    bump_module_epoch()


def _converted(tensor: Tensor, dtype: Any, home: str | None) -> Tensor:
    if dtype is not None and is_float(tensor.dtype) and tensor.dtype != dtype:
        tensor = tensor.to(dtype)
    return tensor if home is None else moved(tensor, home)


def describe(module: Any) -> str:
    """The module as PyTorch prints it."""
    extra = module.extra_repr()
    lines = [
        f"({name}): " + repr(inner).replace("\n", "\n  ") for name, inner in module._modules.items()
    ]
    name = module._get_name()
    if not lines:
        return f"{name}({extra})"
    body = "\n  ".join([*(extra.split("\n") if extra else []), *lines])
    return f"{name}(\n  {body}\n)"


def _own(module: Any) -> Iterator[tuple[str, Tensor]]:
    for name, member in [*module._parameters.items(), *module._buffers.items()]:
        if member is not None and name not in module._transient:
            yield name, member


def _as_array(name: str, value: Any, problems: list[str]) -> Any:
    """``value`` as an array; None, with a problem noted, for what is no tensor."""
    if is_lazy(value):
        problems.append(f"{name} is an uninitialized tensor; call its module first.")
        return None
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        problems.append(f"{name} is a {type(value).__name__}, not a tensor.")
        return None
    return array


def _write(target: Tensor, value: Any, assign: bool) -> None:
    if assign:
        target.data = from_numpy(np.array(value))
    else:
        target.detach().copy_(from_numpy(np.asarray(value)))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f'"{name}"' for name in names[:_SHOWN]) + more
