"""An equation and tensors in, the sum of products that it names out.

Operands are contracted two at a time, left to right. A repeated index takes the diagonal, an
index of size 1 broadcasts, and axes under ``...`` broadcast from the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.dispatch import describe
from engine.products import contract, fail, rank_of
from engine.rearrange import diagonal, movedim
from engine.shaping import permute, reshape
from engine.state import TensorState
from ir.dims import Size

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["einsum"]

Label: TypeAlias = "str | int"  # a letter, or the place (from the right) of an axis under "..."
Labels: TypeAlias = tuple[Label, ...]
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(*args: Any) -> Tensor:
    """Einstein's summation: ``einsum("bij,bjk->bik", x, y)``, or ``einsum(x, [0, 1], ...)``.

    Without "->" the result has the indices that occur once, in alphabetic order (those of "..."
    in front).
    """
    equation, operands = _equation(args)
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not operands or len(terms) != len(operands):
        raise fail(f"einsum({equation!r}) names {len(terms)} operands, {len(operands)} are given")
    labelled = [(x, _labels(t, rank_of(x), equation)) for x, t in zip(operands, terms, strict=True)]
    dots = max((sum(isinstance(n, int) for n in names) for _, names in labelled), default=0)
    wanted = _output(output, dots, equation) if arrow else _implicit(terms, dots)
    known = {name for _, names in labelled for name in names}
    if len(set(wanted)) < len(wanted) or not set(wanted) <= known:
        raise fail(f"einsum({equation!r}): an output index is repeated, or in no operand")
    labelled = [_diagonals(x, names, equation) for x, names in labelled]
    return _contract_all(_broadcasting(labelled, equation), wanted)


def _equation(args: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """The equation as text; operands beside their lists of numbers become letters."""
    if not args:
        raise fail("einsum() takes an equation and tensors")
    if isinstance(args[0], str):
        rest = args[1:]
        if len(rest) == 1 and isinstance(rest[0], list | tuple):
            rest = tuple(rest[0])
        return args[0], list(rest)
    items = list(args)
    if not isinstance(items[0], TensorState):
        raise fail("einsum() takes an equation and tensors")
    output = items.pop() if len(items) % 2 else None
    equation = ",".join(_letters(names) for names in items[1::2])
    if output is not None:
        equation += "->" + _letters(output)
    return equation, items[::2]


def _letters(names: Sequence[Any]) -> str:
    if any(n is not Ellipsis and not 0 <= n < len(_LETTERS) for n in names):
        raise fail(f"einsum() numbers indices from 0 to {len(_LETTERS) - 1}")
    return "".join("..." if n is Ellipsis else _LETTERS[n] for n in names)


def _split(term: str, equation: str) -> tuple[str, bool, str]:
    """The letters before and after "...", and whether it is there."""
    before, dots, after = term.partition("...")
    if any(letter not in _LETTERS for letter in before + after):
        raise fail(f"einsum({equation!r}): indices are letters, {term!r} is not")
    return before, bool(dots), after


def _labels(term: str, rank: int, equation: str) -> Labels:
    before, dots, after = _split(term, equation)
    count = rank - len(before) - len(after)
    if count < 0 or (count and not dots):
        raise fail(f"einsum({equation!r}): {term!r} names the axes of a tensor of {rank}")
    return (*before, *range(count - 1, -1, -1), *after)


def _output(term: str, dots: int, equation: str) -> Labels:
    before, named, after = _split(term, equation)
    return (*before, *(range(dots - 1, -1, -1) if named else ()), *after)


def _implicit(terms: Sequence[str], dots: int) -> Labels:
    letters = "".join(terms).replace(".", "")
    once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
    return (*range(dots - 1, -1, -1), *once)


def _diagonals(x: Tensor, names: Labels, equation: str) -> tuple[Tensor, Labels]:
    """``x`` with each index once."""
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            i = names.index(name)
            j = names.index(name, i + 1)
            if x.value.type.shape[i] != x.value.type.shape[j]:
                raise fail(f"einsum({equation!r}): {name} has two sizes in {describe(x)}")
            x = movedim(diagonal(x, 0, i, j), -1, i)
            names = (*names[:j], *names[j + 1 :])
    return x, names


def _broadcasting(
    labelled: Sequence[tuple[Tensor, Labels]], equation: str
) -> list[tuple[Tensor, Labels]]:
    """Operands without the axes of size 1 that another operand has longer."""
    sizes: dict[Label, Size] = {}
    for x, names in labelled:
        for name, size in zip(names, x.value.type.shape, strict=True):
            if sizes.get(name, 1) == 1:
                sizes[name] = size
            elif size not in (1, sizes[name]):
                raise fail(f"einsum({equation!r}): {name} is {sizes[name]} and {size}")
    found = []
    for x, names in labelled:
        shape = x.value.type.shape
        kept = [at for at, n in enumerate(names) if shape[at] == sizes[n]]
        x = reshape(x, tuple(shape[at] for at in kept)) if len(kept) < len(shape) else x
        found.append((x, tuple(names[at] for at in kept)))
    return found


def _contract_all(labelled: Sequence[tuple[Tensor, Labels]], wanted: Labels) -> Tensor:
    (x, names), *rest = labelled
    for at, (other, theirs) in enumerate(rest):
        later = {*wanted, *(n for _, more in rest[at + 1 :] for n in more)}
        x, names = _summed(x, names, later | set(theirs))
        other, theirs = _summed(other, theirs, later | set(names))
        both = [n for n in names if n in theirs]
        over, batch = [n for n in both if n not in later], [n for n in both if n in later]
        left, right = _places(over, names, theirs)
        x = contract(x, other, left, right, _places(batch, names, theirs))
        free = [n for n in (*names, *theirs) if n not in both]
        names = (*batch, *free)
    x, names = _summed(x, names, set(wanted))
    return permute(x, *(names.index(n) for n in wanted)) if wanted else x


def _places(
    group: Sequence[Label], names: Labels, theirs: Labels
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that a group of indices has on either side."""
    return tuple(names.index(n) for n in group), tuple(theirs.index(n) for n in group)


def _summed(x: Tensor, names: Labels, kept: set[Label]) -> tuple[Tensor, Labels]:
    """Summed over the indices that nobody else has; whole numbers become int64, as in a sum."""
    axes = [at for at, n in enumerate(names) if n not in kept]
    if axes:
        x = x.sum(axes)
    return x, tuple(n for n in names if n in kept)
