"""Elements and a small matrix of known numbers in, the expressions of its product with them out.

Two rows whose numbers differ in some signs alone share what they agree on: the even and odd parts
of the polynomials that fast convolutions evaluate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.nest import Apply, Const, Expr
from ir.types import DType

Row = Sequence[float]


def mixtures(parts: Mapping[int, Expr], rows: Sequence[Row], dtype: DType) -> list[Expr]:
    """For each row the sum of its numbers times ``parts``."""
    found: dict[int, Expr] = {}
    for at, row in enumerate(rows):
        if at in found:
            continue
        twin = next((k for k in range(at + 1, len(rows)) if _differ_in_signs(row, rows[k])), None)
        if twin is None or twin in found:
            found[at] = _total(parts, dict(enumerate(row)), dtype)
            continue
        same = _total(parts, {i: n for i, n in enumerate(row) if n == rows[twin][i]}, dtype)
        other = _total(parts, {i: n for i, n in enumerate(row) if n != rows[twin][i]}, dtype)
        found[at] = Apply("add", (same, other), dtype)
        found[twin] = Apply("sub", (same, other), dtype)
    return [found[at] for at in range(len(rows))]


def _differ_in_signs(row: Row, other: Row) -> bool:
    """Whether some numbers are equal, some opposite, and all one or the other."""
    pairs = [(a, b) for a, b in zip(row, other, strict=True) if a or b]
    equal = sum(a == b for a, b in pairs)
    return all(abs(a) == abs(b) for a, b in pairs) and 0 < equal < len(pairs)


def _total(parts: Mapping[int, Expr], numbers: Mapping[int, float], dtype: DType) -> Expr:
    """The sum, begun with an element that needs no multiplication where there is one."""
    used = [i for i, number in numbers.items() if number]
    if not used:
        return Const(0.0, dtype)
    used.sort(key=lambda i: (numbers[i] != 1, i))
    first, *rest = used
    total = parts[first]
    if numbers[first] != 1:
        total = Apply("mul", (total, Const(numbers[first], dtype)), dtype)
    for i in rest:
        if abs(numbers[i]) == 1:
            total = Apply("add" if numbers[i] > 0 else "sub", (total, parts[i]), dtype)
        else:
            total = Apply("muladd", (parts[i], Const(numbers[i], dtype), total), dtype)
    return total
