"""A nest in, the statements of its CUDA kernel out: what all ways to share points have in common.

Memory is flat: the place of an element is one sum, with strides as numbers, so that no index is
computed that Numba would check against a shape. Divisions of places are those of ``device.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from codegen.cuda.halves import bits, half_cast
from codegen.index import Axis, Div, Index, Mod, bounds, linearise
from codegen.nest import Apply, Buffer, Const, Expr, Nest
from codegen.portable.body import Body
from codegen.portable.names import Names, size_text
from codegen.portable.reductions import Reductions
from codegen.portable.spell import Places, Shapes
from codegen.schedule import Schedule
from ir.dims import Size, product
from ir.types import DType, is_half

_SCALAR = ("floor", "ceil", "fmod")  # that Numba's CUDA target has for arrays alone
LOOP = re.compile(r"for (\w+) in range\((.*)\):")
SMALL = 1 << 31  # places below this are divided in 32 bits


class Flat(Shapes):
    """Every buffer as an array of one dimension."""

    def physical(self, buffer: Buffer) -> list[str]:
        return [size_text(product(buffer.shape), self._sizes)]

    def index(self, buffer: Buffer, index: Sequence[Index]) -> list[Index]:
        return [linearise(index, buffer.shape)]


class DevicePlaces(Places):
    """Spells indices with divisions of 32 bits where places are known to be small."""

    def index(self, index: Index) -> str:
        texts: dict[Div | Mod, str] = {}
        for atom, _ in index.terms:
            if isinstance(atom, Div | Mod) and _is_small(atom.inner):
                word = "quotient" if isinstance(atom, Div) else "remainder"
                texts[atom] = f"{word}({self.index(atom.inner)}, {atom.by})"
        if not texts:
            return super().index(index)
        stands = {Axis(text, 0): text for text in texts.values()}
        before = dict(self.axes)
        self.axes.update(stands)
        terms = tuple(
            (Axis(texts[atom], 0) if isinstance(atom, Div | Mod) and atom in texts else atom, by)
            for atom, by in index.terms
        )
        text = super().index(Index(terms, index.offset))
        self.axes.clear()
        self.axes.update(before)
        return text


class CudaBody(Body):
    """Writes one kernel's statements; how points are shared is the subclasses'."""

    def __init__(self, nest: Nest, names: Names) -> None:
        ones = dict.fromkeys(nest.axes, 1)
        axes = tuple(axis for axis in nest.axes if axis.extent != 1)
        plain = Schedule(nest, None, ones, axes, frozenset(), False)
        super().__init__(plain, names, Flat(nest, names.sizes))
        self.places = DevicePlaces(names.axes, names.sizes)
        self.places.computed = self._computed  # type: ignore[method-assign]
        self.reductions: Reductions = Single(self)

    @property
    def nest(self) -> Nest:
        return self.plan.nest

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Names bound inside are forgotten after it; no block of statements."""
        self.known.append({})
        yield
        self.known.pop()

    def count(self, axes: Sequence[Axis]) -> Size:
        """Points of all ``axes``."""
        return product([axis.extent for axis in axes])

    def text(self, expr: Expr, whole: bool = False) -> str:
        if isinstance(expr, Const) and is_half(expr.dtype):
            return bits(expr.value, expr.dtype)
        return super().text(expr, whole)

    def _spell(self, expr: Expr) -> str:
        if isinstance(expr, Apply) and expr.op == "cast":
            source = expr.args[0].dtype
            if is_half(source) or is_half(expr.dtype):
                return half_cast(self.text(expr.args[0]), source, expr.dtype)
        text = super()._spell(expr)
        if isinstance(expr, Apply) and expr.op in _SCALAR:
            return text.replace(f"np.{expr.op}(", f"{expr.op}(", 1)
        return text

    def take_apart(self, place: str, axes: Sequence[Axis], suffix: str = "") -> None:
        """Name the place along each of ``axes``, the last one fastest, of a flat ``place``.

        With a ``suffix`` the names are new ones, so that several places can be known at once.
        """
        left = [axis for axis in axes if axis.extent != 1]
        total = self.count(left)
        small = isinstance(total, int) and total < SMALL
        for at in range(len(left) - 1, -1, -1):
            axis = left[at]
            name = self.names.axes[axis]
            if suffix:
                name = self.names.fresh(f"{name}{suffix}")
            if at == 0:
                self.add(f"{name} = {place}")
            else:
                size = self.extent(axis)
                self.add(f"{name} = {self.divided('remainder', place, size, small)}")
                rest = self.names.fresh("rest")
                self.add(f"{rest} = {self.divided('quotient', place, size, small)}")
                place = rest
            self.places.axes[axis] = name

    def divided(self, word: str, place: str, by: str, small: bool = True) -> str:
        """A quotient or remainder of a place."""
        if small:
            return f"{word}({place}, {by})"
        return f"({place}) {'//' if word == 'quotient' else '%'} ({by})"

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """A loop or a condition. Loops count for themselves: NVVM unrolls such a loop of a known
        number of turns, and makes constants of its places; a range's it takes as it is."""
        loop = LOOP.fullmatch(header)
        if loop is None:
            with super().block(header):
                yield
            return
        name, given = loop.groups()
        parts = _arguments(given)
        first, stop, step = {1: ["0", *parts, "1"], 2: [*parts, "1"]}.get(len(parts), parts)
        self.add(f"{name} = {first}")
        with super().block(f"while {name} < {stop}:"):
            yield
            self.add(f"{name} += {step}")

    @contextmanager
    def grid_loop(self, name: str, first: str, stop: str, step: str) -> Iterator[None]:
        """``name`` from ``first`` in steps of a whole grid."""
        with self.block(f"for {name} in range({first}, {stop}, {step}):"):
            yield


def _arguments(text: str) -> list[str]:
    """The arguments of a call, from what stands between its brackets."""
    call = ast.parse(f"range({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return [ast.unparse(argument) for argument in call.args]


class Single(Reductions):
    """Reductions of one thread: accumulators are registers."""

    def _name(self, hint: str, dtype: DType, row: bool) -> str:
        return self.body.names.fresh(hint)


def _is_small(index: Index) -> bool:
    reach = bounds(index)
    return reach is not None and reach[0] >= 0 and reach[1] < SMALL
