"""Rows in, the op table out: one ``Op`` per primitive holds everything anyone asks about it.

The columns: type rule, NumPy meaning (the specification), derivative, the scalar expression
that kernels spell, cost, and the cases its tests are made from. A missing column is ``None`` and
can be seen in one place; nothing about an op is registered elsewhere by import side effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ir.graph import Node
from ir.types import TensorType

Array: TypeAlias = npt.NDArray[Any]
Infer: TypeAlias = Callable[[Sequence[TensorType], dict[str, Any]], TensorType]
Evaluate: TypeAlias = Callable[..., Array]
Vjp: TypeAlias = Callable[[Any, Node, Node], Sequence[Node | None]]


@dataclass(frozen=True)
class Case:
    """One test input of an op: operand shapes, dtypes, attributes, value range."""

    shapes: tuple[tuple[int, ...], ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ()
    low: float = -2.0
    high: float = 2.0


@dataclass(frozen=True)
class Op:
    """A row of the table.

    ``infer(types, attrs)`` is the type rule; ``evaluate(*arrays, **attrs)`` the meaning in NumPy;
    ``vjp(make, node, cotangent)`` gives one cotangent (or None) per input, built with the functions
    of ``ir.make`` (handed in, so that rows need not import one another); ``text`` is the scalar
    expression of
    an elementwise op with ``{0}``, ``{1}`` for operands; ``cost`` its price in multiplications;
    ``expand(make, node)`` says a composite in other ops.
    """

    name: str
    family: str
    arity: int | None
    infer: Infer = field(repr=False)
    evaluate: Evaluate = field(repr=False)
    vjp: Vjp | None = field(default=None, repr=False)
    text: str = ""
    cost: float = 1.0
    cases: tuple[Case, ...] = field(default=(), repr=False)
    expand: Callable[[Any, Node], Node] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.name


_MOVING = ("cast", "select", "take", "take_along")


def computes(op: Op) -> bool:
    """Whether the op does arithmetic on its operands' values, rather than move them about."""
    arithmetic = ("elementwise", "reduction", "contraction", "indexing", "factor", "composite")
    return (op.family in arithmetic and op.name not in _MOVING) or op.name == "fold"


def row_table(*families: Sequence[Op]) -> dict[str, Op]:
    """All rows by name; ValueError where two share one."""
    table: dict[str, Op] = {}
    for family in families:
        for op in family:
            if op.name in table:
                raise ValueError(f"op {op.name} has two rows")
            table[op.name] = op
    return table


def as_array(value: Any, dtype: Any) -> Array:
    """``value`` as an array of exactly ``dtype`` (NumPy reductions widen or give scalars)."""
    return np.asarray(value).astype(dtype, copy=False)
