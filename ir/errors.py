"""A broken rule in, a message of at most a few lines out: the user's line first, then the op."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ir.graph import Location


class OpError(ValueError):
    """An op was given operands it cannot take.

    The text holds the user's line, the op with its operand types, the rule and a hint.
    """

    def __init__(
        self,
        op: str,
        types: Sequence[Any],
        rule: str,
        hint: str = "",
        loc: Location | None = None,
    ) -> None:
        self.op, self.types, self.rule, self.hint, self.loc = op, tuple(types), rule, hint, loc
        super().__init__(self._text())

    def _text(self) -> str:
        lines = []
        if self.loc is not None:
            lines.append(f"{self.loc}: {self.loc.source}".rstrip(": "))
        lines.append(f"{self.op}({', '.join(str(t) for t in self.types)}): {self.rule}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def at(self, op: str, types: Sequence[Any], loc: Location | None) -> OpError:
        """The same error with what its raiser could not know."""
        known = type(self)
        return known(self.op or op, self.types or types, self.rule, self.hint, self.loc or loc)


class OpTypeError(OpError, TypeError):
    """The operands' dtypes break the op's rule."""


def broken(rule: str, hint: str = "") -> OpError:
    """An OpError from inside a type rule; ``build`` adds the op, the types and the line."""
    return OpError("", (), rule, hint)


def wrong_dtype(rule: str, hint: str = "") -> OpTypeError:
    """A dtype error from inside a type rule."""
    return OpTypeError("", (), rule, hint)


class LinAlgError(RuntimeError):
    """The values of a matrix allow no result: singular, not positive-definite, not finite."""


class VerifyError(AssertionError):
    """The compiler broke its own graph: a bug of ours, named with the op."""


class UnsupportedError(NotImplementedError):
    """No lowering exists for an op; named, never a silent slow path."""


class MemoryBudgetError(MemoryError):
    """No plan found lies within the budget: ``smallest`` bytes do, ``plain`` without repeating."""

    def __init__(self, budget: int, smallest: int, plain: int) -> None:
        self.budget, self.smallest, self.plain = budget, smallest, plain
        self.rule = (
            f"intermediates take at least {_mib(smallest, up=True)}, the budget is {_mib(budget)}; "
            f"without computing anything twice they take {_mib(plain)}"
        )
        self.hint = f"memory={smallest} is the smallest budget found; a smaller batch needs less"
        super().__init__(f"{self.rule}\nhint: {self.hint}")


def _mib(size: int, up: bool = False) -> str:
    """MiB to two places; upwards where a budget must hold it."""
    hundredths = size * 100 / 2**20
    return f"{(math.ceil(hundredths) if up else hundredths) / 100:.2f} MiB"
