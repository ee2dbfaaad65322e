"""A nest in, the names its source uses out: buffers as the user called them, axes as people do.

Axes take the letters of the layouts everyone knows (``n c y x`` for images, ``o c ky kx`` for
convolution weights, ``o i`` for matrices) where an index says so, and ``i j k`` otherwise.
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable, Mapping

from codegen.index import Axis, Div, Index, Mod, axes_of, of_axis
from codegen.nest import Buffer, Nest, Reduce, walk
from ir.dims import Dim, Size, symbols

RESERVED = frozenset(
    {"np", "math", "threefry", "carray", "njit", "begin", "end", "args", "dims", "first", "last"}
)
_IMAGE, _FILTER, _MATRIX = ("n", "c", "y", "x"), ("o", "c", "ky", "kx"), ("o", "i")
_OTHER = {"y": "row", "x": "col", "ky": "kernel_row", "kx": "kernel_col"}


class Names:
    """Hands out names that no other thing in the kernel has."""

    def __init__(self, nest: Nest, reserved: Iterable[str] = ()) -> None:
        """``reserved``: what the emitter calls things itself, beside the words of all spellings."""
        self._taken: set[str] = {*RESERVED, *reserved}
        self.sizes = {name: self.fresh(name) for name in nest_symbols(nest)}
        self.buffers = {buffer: self.fresh(buffer.name) for buffer in nest.buffers}
        self.axes = {axis: self.fresh(hint) for axis, hint in _axis_hints(nest).items()}

    def fresh(self, hint: str) -> str:
        """``hint`` as an identifier, changed where Python or the kernel already uses it."""
        clean = "".join(c if c.isalnum() and c.isascii() else "_" for c in hint) or "t"
        clean = f"t{clean}" if clean[0].isdigit() else clean
        if keyword.iskeyword(clean) or hasattr(builtins, clean):
            clean += "_"
        if clean in self._taken and clean in _OTHER:
            clean = _OTHER[clean]
        name, at = clean, 1
        while name in self._taken:
            at += 1
            name = f"{clean}_{at}"
        self._taken.add(name)
        return name


def nest_symbols(nest: Nest) -> list[str]:
    """The symbolic sizes that the nest's axes and buffers depend on."""
    sizes: list[Size] = [size for buffer in nest.buffers for size in buffer.shape]
    sizes += [axis.extent for axis in all_axes(nest)]
    found = {name for size in sizes if isinstance(size, Dim) for name in symbols(size)}
    for expr in walk([root.value for root in nest.roots]):
        size = getattr(expr, "size", 0)
        found |= symbols(size) if isinstance(size, Dim) else frozenset()
        for condition in getattr(expr, "conditions", ()):
            found |= symbols(condition.size) | _index_symbols(condition.index)
        parts = getattr(expr, "index", ())
        for part in (parts,) if isinstance(parts, Index) else parts:
            found |= _index_symbols(part)
    return sorted(found)


def _index_symbols(index: Index) -> frozenset[str]:
    found = symbols(index.offset)
    for atom, factor in index.terms:
        found |= symbols(factor)
        if isinstance(atom, Div | Mod):
            found |= _index_symbols(atom.inner)
    return found


def all_axes(nest: Nest) -> list[Axis]:
    """The nest's axes, then those of its reductions, outermost first."""
    found = dict.fromkeys(nest.axes)
    for expr in walk([root.value for root in nest.roots]):
        if isinstance(expr, Reduce):
            found.update(dict.fromkeys(expr.axes))
    return list(found)


def _axis_hints(nest: Nest) -> dict[Axis, str]:
    axes, hints = all_axes(nest), dict[Axis, str]()
    touched = [(load.buffer, load.index) for load in nest.loads]
    touched += [(root.buffer, root.index) for root in nest.roots]
    if nest.batch is not None:
        hints[nest.batch] = "n"
    for buffer, index in touched:
        if buffer.batch is not None:
            _hint(hints, [(index[buffer.batch], "n")])
    rows = set(hints)
    for letters, images in ((_FILTER, False), (_MATRIX, False), (_IMAGE, True)):
        for _, index in touched:
            over_batch = bool(index) and bool(axes_of(index[0]) & rows)
            if len(index) == len(letters) and over_batch == images:
                _hint(hints, list(zip(index, letters, strict=True)))
    _hint_windows(hints, touched)
    outer = iter("jkl" if nest.batch is not None else "ijkl")
    inner = iter("rstuv")
    for axis in axes:
        if axis not in hints:
            hints[axis] = next(outer if axis in nest.axes else inner, "i")
    return {axis: hints[axis] for axis in axes}


def _hint(hints: dict[Axis, str], pairs: Iterable[tuple[Index, str]]) -> None:
    """Name the axes that are an index by themselves."""
    for part, letter in pairs:
        for axis in axes_of(part):
            if part == of_axis(axis) and letter not in hints.values():
                hints.setdefault(axis, letter)


def _hint_windows(
    hints: dict[Axis, str], touched: Iterable[tuple[Buffer, tuple[Index, ...]]]
) -> None:
    """Name the axes that walk over a window of an image's rows and columns."""
    for _, index in touched:
        if len(index) != 4:
            continue
        for part, letter in zip(index[2:], "yx", strict=True):
            for axis in sorted(axes_of(part) - set(hints), key=lambda a: a.name):
                taken = set(hints.values())
                order = (f"p{letter}", f"k{letter}") if f"k{letter}" in taken else (f"k{letter}",)
                free = [name for name in order if name not in taken]
                if free:
                    hints[axis] = free[0]


def size_text(size: Size, sizes: Mapping[str, str]) -> str:
    """A (symbolic) size as an expression."""
    if not isinstance(size, Dim):
        return str(size)
    parts = [
        " * ".join([*([] if by == 1 and names else [str(by)]), *(sizes[n] for n in names)])
        for names, by in size.terms
    ]
    return f"({' + '.join(parts)})"
