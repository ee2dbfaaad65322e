"""A finished trace in, a name for every input of its program out: what people call the tensors.

Kernels, graphs and reports are read by people, so a weight is called ``conv1_weight`` there and an
argument by the step's own parameter, not by a number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from engine import pytree
from engine.storage import Cell
from engine.tensor import Tensor
from engine.trace import Trace


def input_names(
    trace: Trace, function: Callable[..., Any], structure: pytree.Structure
) -> list[str]:
    """A name for each of ``trace.sources``: arguments, parameters, buffers, optimizer slots.

    Two may be equal until ``distinct`` has seen those that are used.
    """
    cells = _state_names(trace)
    leaves = _argument_names(function, structure)
    names: list[str] = []
    for source in trace.sources:
        given = str(source.node.attrs["name"])
        if source.argument is not None and source.argument < len(leaves):
            given = leaves[source.argument]
        elif source.cell is not None:
            given = cells.get(source.cell, given)
        names.append(given)
    return names


def _state_names(trace: Trace) -> dict[Cell, str]:
    """Names of tensors in modules, outermost module first, and of optimizers' slots."""
    names: dict[Cell, str] = {}
    covered: set[int] = set()  # modules inside one that is read already: deep networks touch all
    touched = list({id(owner): owner for owner in trace.touched}.values())  # a use each: many
    for owner in touched:
        if id(owner) in covered:
            continue
        inside = getattr(owner, "modules", None)
        covered.update(map(id, inside() if inside is not None else ()))
        for read in ("named_parameters", "named_buffers"):
            named = getattr(owner, read, None)
            for name, tensor in named() if named is not None else ():
                names.setdefault(tensor._cell, name.replace(".", "_"))
    for owner in touched:
        slots = getattr(owner, "state", None)
        for param, state in slots.items() if isinstance(slots, dict) else ():
            of = names.get(getattr(param, "_cell", None), "parameter")  # type: ignore[arg-type]
            for name, tensor in state.items():
                if isinstance(tensor, Tensor):  # LBFGS keeps counts and lists as well
                    names.setdefault(tensor._cell, f"{of}_{name}")
    return names


def _argument_names(function: Callable[..., Any], structure: pytree.Structure) -> list[str]:
    """A name per leaf of the call's ``(args, kwargs)``."""
    args, kwargs = structure[-1]
    try:
        declared = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin has no signature to read
        declared = []
    names: list[str] = []
    for at, part in enumerate(args[-1]):
        names += _paths(part, declared[at] if at < len(declared) else f"arg{at}")
    for key, part in zip(kwargs[1], kwargs[-1], strict=True):
        names += _paths(part, str(key))
    return names


def _paths(structure: pytree.Structure, name: str) -> list[str]:
    if structure is pytree.LEAF:
        return [name]
    keys = structure[1] if len(structure) > 2 else range(len(structure[-1]))
    found: list[str] = []
    for key, part in zip(keys, structure[-1], strict=True):
        found += _paths(part, f"{name}_{key}")
    return found


def distinct(names: Sequence[str]) -> list[str]:
    """The names, a number appended where one comes again."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out
