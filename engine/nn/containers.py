"""Modules in, one module that holds them in order out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from engine.nn.module import Module


class _Ordered(Module):
    """Submodules by position, named "0", "1", ... unless they bring names."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._all())

    def __getitem__(self, at: int | slice) -> Any:
        found = self._all()[at]
        if not isinstance(found, list):
            return found
        return type(self)(*self._made_of(found))

    def __setitem__(self, at: int, module: Module) -> None:
        self.register_module(self._name(at), module)

    def __delitem__(self, at: int | slice) -> None:
        kept = self._all()
        del kept[at]
        for name in list(self._modules):
            delattr(self, name)
        self.extend(kept)

    def pop(self, at: int | slice) -> Any:
        """Remove the module at a position, and return it."""
        found = self[at]
        del self[at]
        return found

    def __add__(self, other: Iterable[Module]) -> Any:
        """Another container of this one's modules and those of ``other``."""
        if not isinstance(other, Iterable | Module):
            raise ValueError(f"can only add another container, not {type(other).__name__}")
        return type(self)(*self._made_of([*self, *other]))

    def __iadd__(self, other: Iterable[Module]) -> Any:
        return self.extend(other)

    def __contains__(self, module: object) -> bool:
        return module in self._all()

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, at: int, module: Module) -> Any:
        """Add a module before position ``at``."""
        kept = self._all()
        if not -len(kept) <= at <= len(kept):
            raise IndexError(f"index {at} is out of range")
        kept.insert(at, module)
        for name in list(self._modules):
            delattr(self, name)
        return self.extend(kept)

    def _name(self, at: int) -> str:
        names = list(self._modules)
        if not -len(names) <= at < len(names):
            raise IndexError(f"index {at} is out of range")
        return names[at]

    def _all(self) -> list[Module]:
        return [module for module in self._modules.values() if module is not None]

    def _made_of(self, modules: list[Module]) -> tuple[Any, ...]:
        return (modules,)


class Sequential(_Ordered):
    """Calls its modules one after the other.

    >>> nn.Sequential(nn.Linear(3, 4), nn.ReLU())(torch.zeros(2, 3)).shape
    Size([2, 4])
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], OrderedDict):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            self.extend(modules)

    def forward(self, input: Any) -> Any:
        for module in self._all():
            input = module(input)
        return input

    def _made_of(self, modules: list[Module]) -> tuple[Any, ...]:
        return tuple(modules)


class ModuleList(_Ordered):
    """A list whose modules are registered; it computes nothing by itself."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)
