"""Attributes assigned in, a tree of parameters, buffers and submodules out: ``nn.Module``.

Registration happens by assignment, as people know it from PyTorch, with the same names, order and
``state_dict`` keys. What a compiled step may have read from a module (its structure, ``training``,
plain attributes) is guarded by one counter, the module epoch: every change that Python code could
notice bumps it, and a step then compares what it used (``engine.fingerprint``). Values of
parameters and buffers are data, not structure, and bump nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from engine.guards import bump_module_epoch
from engine.modes import modes, no_grad
from engine.nn import state
from engine.nn.hooks import Hooked, Hooks
from engine.nn.parameter import Buffer, Parameter, owned
from engine.nn.placed import Placed
from engine.tensor import Tensor

M = TypeVar("M", bound="Module")
_MISSING = object()


class Module(Hooked, metaclass=Placed):
    """A part of a network: subclass it, assign parts in ``__init__``, write ``forward``.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.fc(x)
    >>> [name for name, _ in Net().named_parameters()]
    ['fc.weight', 'fc.bias']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]

    def __init__(self) -> None:
        for name, value in (
            ("training", True),
            ("_parameters", {}),
            ("_buffers", {}),
            ("_modules", {}),
            ("_transient", set()),
            ("_hooks", Hooks()),
        ):
            object.__setattr__(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; every subclass writes its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing "forward"')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.trace is not None:
            modes.trace.touched.append(self)
        if not self._hooks:
            return self.forward(*args, **kwargs)
        return self._hooks.around(self, self.forward, args, kwargs)

    # Registration

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            if isinstance(value, Parameter | Module):
                kind = "parameters" if isinstance(value, Parameter) else "module"
                raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name)
            self.register_module(name, value)
        elif isinstance(value, Buffer):
            self._forget(name)
            self.register_buffer(name, value, value.persistent)
        elif name in self._parameters or name in self._modules:
            self._clear(name, value)
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign {type(value).__name__} as buffer '{name}'")
            self.register_buffer(name, value, name not in self._transient)
        else:
            _bump_if_new(self.__dict__.get(name, _MISSING), value)
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for kind in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(kind, {})
            if name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)
        bump_module_epoch()

    def __dir__(self) -> list[str]:
        names = [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]
        return sorted(names)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make ``param`` the parameter called ``name``; None keeps the name without one."""
        self._check_name(name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(nn.Parameter or None required)"
            )
        if self._parameters.get(name, _MISSING) is not param:
            self._parameters[name] = param
            bump_module_epoch()

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make ``tensor`` state that is no parameter; kept out of ``state_dict`` if transient."""
        self._check_name(name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{type(tensor).__name__}' object to buffer '{name}'")
        if tensor is not None:
            owned(tensor)
        (self._transient.discard if persistent else self._transient.add)(name)
        if self._buffers.get(name, _MISSING) is not tensor:
            self._buffers[name] = tensor
            bump_module_epoch()

    def register_module(self, name: str, module: Module | None) -> None:
        """Make ``module`` the submodule called ``name``."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, self._modules)
        if self._modules.get(name, _MISSING) is not module:
            self._modules[name] = module
            bump_module_epoch()

    add_module = register_module

    def _check_name(self, name: str, known: Mapping[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name must be a string, not {type(name).__name__}")
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot register before Module.__init__() call")
        if "." in name or name == "":
            raise KeyError(f'a name can\'t be empty or contain ".", got: {name!r}')
        if name not in known and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def _clear(self, name: str, value: Any) -> None:
        """Assign what is neither parameter nor module to the name of one: only None will do."""
        kind = "parameter" if name in self._parameters else "child module"
        if value is not None:
            raise TypeError(f"cannot assign '{type(value).__name__}' as {kind} '{name}'")
        if name in self._parameters:
            self.register_parameter(name, None)
        else:
            self.register_module(name, None)

    def _forget(self, name: str) -> bool:
        """Drop ``name`` from whatever it names, so that it can name something else."""
        self._transient.discard(name)
        homes = (self._parameters, self._buffers, self._modules)
        known = [home for home in homes if name in home]
        if not known and name not in self.__dict__:
            return False
        for home in known:
            del home[name]
        return bool(known) or self.__dict__.pop(name, None) is not None

    # The tree

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Every module below, this one first, with its dotted name."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                inner = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, inner, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Every module below, this one first."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name; shared ones once."""
        return state.named_members(self, "_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter; shared ones once."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name; shared ones once."""
        return state.named_members(self, "_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer; shared ones once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; AttributeError names the part that is missing."""
        found: Module = state.find_submodule(self, target)
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no parameter '{target}'")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no buffer '{target}'")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` in the place of a dotted name; ``strict``: there must be one already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and name not in parent._modules:
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        parent.register_module(name, module)

    # Changing all of it

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call ``fn`` on every module below, children first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Behave as in training (or not): dropout drops, batch norm follows the batches."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Behave as in use: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Ask for gradients of every parameter, or for none."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        bump_module_epoch()
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or set it to zeros."""
        for param in self.parameters():
            if set_to_none:  # without asking for the old one, which would be a guard
                param.grad = None
            elif param.grad is not None:
                with no_grad():
                    param.grad = param.grad.detach().zero_()

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Cast floating parameters and buffers to a dtype, move all of them to a device, or both.

        The module itself is changed, and its parameters stay the same objects, so that optimizers
        keep them; their slots follow at the next step. RuntimeError, with the reason, for a device
        that is not there.

        >>> nn.Linear(2, 3).to("cpu").weight.device
        device(type='cpu')
        """
        state.convert(self, *args, **kwargs)
        return self

    def float(self: M) -> M:
        """Cast floating parameters and buffers to float32."""
        return self.to("float32")

    def double(self: M) -> M:
        """Cast floating parameters and buffers to float64."""
        return self.to("float64")

    def half(self: M) -> M:
        """Cast floating parameters and buffers to float16."""
        return self.to("f16")

    def bfloat16(self: M) -> M:
        """Cast floating parameters and buffers to bfloat16."""
        return self.to("bf16")

    def type(self: M, dst_type: Any) -> M:
        """Cast floating parameters and buffers to ``dst_type``."""
        return self.to(dst_type)

    def cpu(self: M) -> M:
        """Move all parameters and buffers to the CPU."""
        return self.to("cpu")

    def cuda(self: M, device: Any = None) -> M:
        """Move all parameters and buffers to the GPU; RuntimeError where there is none."""
        return self.to("cuda" if device is None else device)

    def state_dict(
        self,
        *,
        destination: OrderedDict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> OrderedDict[str, Any]:
        """Every parameter and persistent buffer by dotted name, sharing this module's memory.

        Where a class has ``get_extra_state``, what it returns is there as ``_extra_state``.
        """
        found: OrderedDict[str, Any] = OrderedDict() if destination is None else destination
        return state.collect(self, prefix, keep_vars, found)

    @property
    def _has_extra_state(self) -> bool:
        return type(self).set_extra_state is not Module.set_extra_state

    def get_extra_state(self) -> Any:
        """More to save with ``state_dict``; a class that has some writes this and its pair."""
        raise RuntimeError("a class with extra state writes get_extra_state and set_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` returned."""
        raise RuntimeError("a class with extra state writes get_extra_state and set_extra_state")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy values in by name. Everything is checked first: an error leaves all as it was.

        Returns the missing and the unexpected names; with ``strict`` either is a RuntimeError.
        """
        return state.restore(self, state_dict, strict, assign)

    # Text

    def extra_repr(self) -> str:
        """What stands between the brackets of a printed layer."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        return state.describe(self)


def _bump_if_new(old: Any, new: Any) -> None:
    """Bump the epoch unless Python code could not tell ``new`` from ``old``."""
    constant = type(old) is type(new) and isinstance(new, int | float | str | bytes)
    if old is not new and not (constant and old == new):
        bump_module_epoch()
