"""Scalars, indices and ops in, Python expressions that Numba types exactly out.

Numba widens: a bare ``0.1`` turns float32 into float64, and int32 + int32 is int64. So constants
carry their dtype and narrow integers are cast back after every op. Expressions are written with
all their parentheses; ``tidy`` takes out those that Python does not need.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

from codegen.index import Axis, Div, Dynamic, Index, Mod, bounds, linearise
from codegen.nest import LANES, Buffer, Condition, Nest
from codegen.portable.names import size_text
from ir.dims import Size, product
from ir.errors import UnsupportedError
from ir.ops import OPS
from ir.types import I64, DType

WIDTH = 100

# Where the table's text means something else to Numba: math.floor gives an integer.
_OWN = {"floor": "np.floor({0})", "ceil": "np.ceil({0})"}


def tidy(text: str) -> str:
    """The same statement with only the parentheses that Python needs."""
    return ast.unparse(ast.parse(text))


def statement(text: str, indent: str) -> list[str]:
    """A statement as lines, cut before its operators where it is too long for one."""
    line = indent + tidy(text)
    node = ast.parse(text).body[0]
    if len(line) <= WIDTH or not isinstance(node, ast.Assign | ast.AugAssign):
        return [line]
    value = ast.unparse(node.value)
    head = indent + tidy(text)[: -len(value)].rstrip()
    parts = _parts(node.value)
    return [f"{head} (", *(f"{indent}    {part}" for part in parts), f"{indent})"]


def _parts(node: ast.expr) -> list[str]:
    """An expression cut at its outermost operator."""
    if isinstance(node, ast.IfExp):
        test, other = ast.unparse(node.test), ast.unparse(node.orelse)
        return [ast.unparse(node.body), f"if {test}", f"else {other}"]
    if isinstance(node, ast.BoolOp):
        word = "and" if isinstance(node.op, ast.And) else "or"
        first, *rest = [
            f"({ast.unparse(v)})" if isinstance(v, ast.BoolOp) else ast.unparse(v)
            for v in node.values
        ]
        return [first, *(f"{word} {part}" for part in rest)]
    if isinstance(node, ast.BinOp):
        whole, left = ast.unparse(node), ast.unparse(node.left)
        left = left if whole.startswith(left) else f"({left})"
        return [left, whole[len(left) :].lstrip()]
    return [ast.unparse(node)]


def literal(value: Any, dtype: DType) -> str:
    """A constant of exactly ``dtype``."""
    if dtype.kind == "b":
        return str(bool(value))
    if dtype.kind in "iu":
        return str(int(value)) if dtype == I64 else f"np.{dtype}({int(value)})"
    exact = dtype.type(value)
    number = float(exact)
    if math.isnan(number) or math.isinf(number):
        sign = "-" if number < 0 else ""
        return f"np.{dtype}({sign}np.{'nan' if math.isnan(number) else 'inf'})"
    return f"np.{dtype}({exact!s})"


def apply(op: str, args: Sequence[str], source: DType, dtype: DType) -> str:
    """``op`` on operands of dtype ``source``; the result has ``dtype``."""
    wrapped = [f"({arg})" for arg in args]
    if op == "muladd":
        return f"{wrapped[0]} * {wrapped[1]} + {wrapped[2]}"
    if op == "threefry":
        return f"threefry({', '.join(args)})"
    if op == "cast":
        return cast(args[0], source, dtype)
    if op == "sign":
        return _sign(wrapped[0], dtype)
    row = OPS.get(op)
    if row is None or not row.text:
        raise UnsupportedError(f"no Numba spelling for op {op}")
    text = _OWN.get(op, row.text).format(*wrapped, zero=literal(0, source))
    return narrowed(f"({text})", dtype) if op not in ("select", "maximum", "minimum") else text


def narrowed(text: str, dtype: DType) -> str:
    """Undo Numba's widening of small integers."""
    return f"np.{dtype}({text})" if dtype.kind in "iu" and dtype != I64 else text


def _sign(x: str, dtype: DType) -> str:
    zero, one = literal(0, dtype), literal(1, dtype)
    return f"({one} if {x} > {zero} else {narrowed('-' + one, dtype)} if {x} < {zero} else {x})"


def cast(x: str, source: DType, dtype: DType) -> str:
    if source == dtype:
        return x
    if dtype.kind == "b":
        return f"(({x}) != {literal(0, source)})"
    if source.kind == "b":
        return f"({literal(1, dtype)} if {x} else {literal(0, dtype)})"
    return f"np.{dtype}({x})"


class Shapes:
    """How each buffer's memory is seen as an array.

    Trailing dimensions that every access walks as one (a reshape away from how they were stored)
    are one dimension, so that no index needs a division.
    """

    def __init__(self, nest: Nest, sizes: Mapping[str, str]) -> None:
        self._sizes = sizes
        self._kept = {buffer: _kept_dimensions(nest, buffer) for buffer in nest.buffers}

    def physical(self, buffer: Buffer) -> list[str]:
        """The array's shape; one element for a scalar."""
        rest = [size for at, size in enumerate(buffer.shape) if at != buffer.batch]
        kept = self._kept[buffer]
        rest = rest if kept is None else [*rest[:kept], product(rest[kept:])]
        inner = [size_text(size, self._sizes) for size in rest]
        if buffer.batch is None:
            return inner or ["1"]
        rows = buffer.shape[buffer.batch]
        if isinstance(rows, int):
            return [str(-(-rows // LANES)), *inner, str(LANES)]
        return [f"({size_text(rows, self._sizes)} + {LANES - 1}) // {LANES}", *inner, str(LANES)]

    def index(self, buffer: Buffer, index: Sequence[Index]) -> list[Index]:
        """The element's place along every dimension but the batch."""
        kept = self._kept[buffer]
        rest = [part for at, part in enumerate(index) if at != buffer.batch]
        return rest if kept is None else _merged(buffer, index, kept)


def _kept_dimensions(nest: Nest, buffer: Buffer) -> int | None:
    """How many leading dimensions stay as they are; None where all of them do."""
    used = [load.index for load in nest.loads if load.buffer is buffer]
    used += [root.index for root in nest.roots if root.buffer is buffer]
    rank = len(buffer.shape) - (buffer.batch is not None)
    if all(_divisions(part) == 0 for index in used for part in index):
        return None
    for kept in range(rank - 2, -1, -1):
        merged = [part for index in used for part in _merged(buffer, index, kept)]
        if all(_divisions(part) == 0 for part in merged):
            return kept
    return None


def _merged(buffer: Buffer, index: Sequence[Index], kept: int) -> list[Index]:
    rest = [at for at in range(len(buffer.shape)) if at != buffer.batch]
    inner = rest[kept:]
    flat = linearise([index[at] for at in inner], [buffer.shape[at] for at in inner])
    return [*(index[at] for at in rest[:kept]), flat]


def _divisions(index: Index) -> int:
    return sum(isinstance(atom, Div | Mod) for atom, _ in index.terms)


class Places:
    """Spells indices: what each axis is called, and each symbolic size."""

    def __init__(self, axes: Mapping[Axis, str], sizes: Mapping[str, str]) -> None:
        self.axes, self.sizes = dict(axes), dict(sizes)

    def size(self, size: Size) -> str:
        return size_text(size, self.sizes)

    def computed(self, atom: Dynamic) -> str:
        """A position that is a value; the kernel's body puts itself here."""
        raise UnsupportedError(f"a computed position {atom} outside a kernel's body")

    def index(self, index: Index) -> str:
        """An index as an integer expression, what is added before what is subtracted."""
        plus: list[str] = []
        minus: list[str] = []
        for atom, factor in index.terms:
            if isinstance(atom, Axis):
                text = self.axes[atom]
            elif isinstance(atom, Dynamic):
                text = self.computed(atom)
            else:
                word = "//" if isinstance(atom, Div) else "%"
                text = f"({self.index(atom.inner)}) {word} {atom.by}"
            negative = isinstance(factor, int) and factor < 0
            factor = -factor if negative else factor
            scaled = f"({text})" if factor == 1 else f"{self.size(factor)} * ({text})"
            (minus if negative else plus).append(scaled)
        if isinstance(index.offset, int) and index.offset < 0 and plus:
            minus.append(str(-index.offset))
        elif index.offset != 0 or not plus:
            plus.append(self.size(index.offset))
        return " - ".join([" + ".join(plus), *minus])

    def condition(self, condition: Condition) -> str:
        """A condition, without the end that always holds."""
        at, size = self.index(condition.index), self.size(condition.size)
        low, high = bounds(condition.index) or (-1, None)
        tests = []
        inside = isinstance(condition.size, int) and high is not None and high < condition.size
        if not inside:
            tests.append(f"({at}) < {size}" if low >= 0 else f"0 <= ({at}) < {size}")
        elif low < 0:
            tests.append(f"({at}) >= 0")
        if condition.divisor != 1:
            tests.append(f"({at}) % {condition.divisor} == 0")
        return " and ".join(tests) or "True"
