"""A module's tensor and functions in, a tensor that is computed at every access out.

The tensor that is trained moves to ``module.parametrizations.weight.original`` (or ``original0``,
``original1``, ...), and ``module.weight`` becomes a property of a class made for this module, as
in PyTorch. Under ``jit`` an access inside the step is part of the step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from engine.guards import bump_module_epoch
from engine.modes import modes, no_grad
from engine.nn.containers import ModuleList
from engine.nn.mappings import ModuleDict
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.tensor import Tensor


class _Cache:
    """Values computed inside ``cached()``; those of a trace are kept apart from all others."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[Any, Any] = {}

    def get(self, module: Module, name: str) -> Any:
        parametrization = module.parametrizations[name]
        if not self.depth:
            return parametrization()
        key = (modes.trace, id(module), name)
        if key not in self.values:
            self.values[key] = parametrization()
        return self.values[key]


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Inside ``with cached():`` each parametrized tensor is computed once.

    >>> with parametrize.cached():
    ...     out = model(x)
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values = {}


class ParametrizationList(ModuleList):
    """The functions of one tensor, in order, and the tensor or tensors that they begin with.

    Made by ``register_parametrization``: ``module.parametrizations.weight`` is one.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        kind = original.dtype, tuple(original.shape)
        new = self._inverted(original)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            _same_dtype(original.dtype, new.dtype)
            if new is not original:
                original.data = new.detach()
            _register(self, "original", original)
        else:
            for at, part in enumerate(new):
                _register(self, f"original{at}", _like_original(part, original, at))
        if not unsafe:
            made = self()
            _check_kind(made, kind, ("unparametrized", "parametrized"))

    def _inverted(self, original: Tensor) -> Any:
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:
                        continue
        if not isinstance(new, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        return new

    def right_inverse(self, value: Any) -> None:
        """Set the original tensors so that the functions give ``value``.

        RuntimeError for a function without a method ``right_inverse``.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    name = type(module).__name__
                    raise RuntimeError(f"parametrization {name} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                _put(self.original, value, "`right_inverse` should return a tensor. Got")
                return
            if not isinstance(value, Sequence) or len(value) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}."
                )
            for at, part in enumerate(value):
                text = f"'right_inverse' must return a sequence of tensors. Element {at} is a"
                _put(getattr(self, f"original{at}"), part, text)

    def forward(self) -> Any:
        names = ["original"] if self.is_tensor else [f"original{n}" for n in range(self.ntensors)]
        first, *rest = list(self)
        x = first(*(getattr(self, name) for name in names))
        for module in rest:
            x = module(x)
        return x


def _same_dtype(own: Any, new: Any) -> None:
    if own != new:
        raise ValueError(
            "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
            f"original.dtype: {own}\nright_inverse(original).dtype: {new}"
        )


def _like_original(part: Any, original: Tensor, at: int) -> Tensor:
    if not isinstance(part, Tensor):
        raise ValueError(
            "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
            f"Got element {at} of the sequence with type {type(part).__name__}."
        )
    if isinstance(original, Parameter):
        return Parameter(part, original.requires_grad)
    return part.requires_grad_(original.requires_grad)


def _put(target: Tensor, value: Any, text: str) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{text} {type(value).__name__}")
    if value.dtype != target.dtype:
        raise ValueError(
            f"The tensor returned by `right_inverse` has dtype {value.dtype} "
            f"while `original` has dtype {target.dtype}"
        )
    target.data = value.detach()


def _check_kind(made: Any, kind: tuple[Any, Any], labels: tuple[str, str]) -> None:
    """ValueError where a parametrization gives no tensor, or one of another dtype or shape."""
    if not isinstance(made, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
    for what, old, new in zip(
        ("dtype", "shape"), kind, (made.dtype, tuple(made.shape)), strict=True
    ):
        if old != new:
            raise ValueError(
                f"Registering a parametrization may not change the {what} of the tensor, unless "
                f"`unsafe` flag is enabled.\n{labels[0]} {what}: {old}\n{labels[1]} {what}: {new}"
            )


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    if id(self) not in memo:
        replica = memo[id(self)] = self.__new__(type(self))
        replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return memo[id(self)]


def _getstate(self: Any) -> Any:
    raise RuntimeError("Serialization of parametrized modules is only supported through state_dict")


def _own_class(module: Module) -> None:
    """Give the module a class of its own, which can hold a property."""
    kind = type(module)
    members = {"__getstate__": _getstate, "__deepcopy__": _deepcopy, "__module__": kind.__module__}
    module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), members)


def _property(name: str) -> property:
    def read(self: Any) -> Any:
        return _cache.get(self, name)

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """From now on ``module.weight`` (say) is ``parametrization(module.weight)``; the module.

    What is trained is ``module.parametrizations.weight.original``. Several are applied one after
    the other. A method ``right_inverse`` gives the first original, and lets ``module.weight = x``
    assign; it may return several tensors, ``original0`` and so on. ``unsafe``: the dtype and the
    shape may change, and nothing is checked.

    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).mT
    >>> layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        known = module.parametrizations[tensor_name]
        known.append(parametrization)
        known.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _own_class(module)
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a "
            f"parametrized element with name '{tensor_name}'"
        )
    return module


def _check_next(module: Module, name: str, parametrization: Any) -> None:
    """ValueError unless one more function keeps the dtype and the shape, both ways."""
    before = getattr(module, name)
    kind = before.dtype, tuple(before.shape)
    made = parametrization(before)
    _check_kind(made, kind, (f"module.{name}", f"parametrization(module.{name})"))
    if hasattr(parametrization, "right_inverse"):
        try:
            back = parametrization.right_inverse(made)
        except NotImplementedError:
            return
        if not isinstance(back, Tensor):
            text = "parametrization.right_inverse must return a tensor. Got"
            raise ValueError(f"{text}: {type(back).__name__}")
        _check_kind(back, kind, (f"module.{name}", "returned"))


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has a parametrization, or one of ``tensor_name``."""
    known = getattr(module, "parametrizations", None)
    if not isinstance(known, ModuleDict):
        return False
    return len(known) > 0 if tensor_name is None else tensor_name in known


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make ``module.weight`` (say) a plain tensor again: its value now, or the original.

    ValueError for a tensor without parametrization, and for the original where there are several.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    known = module.parametrizations[tensor_name]
    if known.is_tensor:
        original = known.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor "
            "that is parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        bump_module_epoch()
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class, without what parametrizations made of it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Register the parametrizations of one module, and share its originals, with another."""
    if not is_parametrized(from_module):
        return to_module
    for name in from_module.parametrizations if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        source = from_module.parametrizations[name]
        for function in source:
            register_parametrization(to_module, name, function)
        target = to_module.parametrizations[name]
        for key in [*source._parameters, *source._buffers]:
            setattr(target, key, getattr(source, key))
    return to_module
