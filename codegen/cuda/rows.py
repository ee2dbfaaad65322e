"""A nest of reductions in, a kernel in which threads share the elements of a row out.

A point's reductions go over a row; a group of neighbouring threads (some lanes of a warp, a warp or
a block) takes every so many of its elements. Groups put their parts together by shuffles, and warps
through shared memory, always in the same order. Where a row is short enough, every thread keeps
its elements in registers, so that each input is read once, however many reductions follow one
another (a softmax, a norm); the values that lie along the row are stored at the end.

``ColumnsBody`` is for reductions whose neighbours in memory are other points: the threads of a warp
take neighbouring points, and the warps of a block share the elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from codegen.cuda.body import CudaBody, Single
from codegen.index import Axis, axes_of
from codegen.nest import Nest, Reduce, Root
from codegen.portable.names import Names
from codegen.portable.reductions import Conditions, Loop, State, Step, _inner
from ir.types import F32, I64, DType

MOST_KEPT = 8  # elements of a row that a thread keeps in registers
SHUFFLED = ("float32", "float64", "int32", "int64")  # others travel as int64


@dataclass(frozen=True)
class Group:
    """The threads that share a point."""

    size: int  # of the group
    warp: int  # lanes of a warp
    block: int  # threads of a block
    across: bool = False  # whether its members are warps apart (columns)

    @property
    def points(self) -> int:
        """Points that a block takes at a time."""
        return self.warp if self.across else self.block // self.size


@dataclass(frozen=True)
class Place:
    """Where a thread is in a row: the names of its axes' places, whether it is there at all."""

    names: tuple[tuple[Axis, str], ...]
    exists: str  # "" where it always is


class RowsBody(CudaBody):
    """A group of threads for every point."""

    def __init__(self, nest: Nest, names: Names, group: Group) -> None:
        super().__init__(nest, names)
        self.group = group
        self.shared = Shared(self)
        self.reductions = self.shared
        self.along = [root for root in nest.roots if root.within]
        self.plain = [root for root in nest.roots if not root.within]
        self.lane = names.fresh("lane")
        self.kept: dict[tuple[Axis, ...], list[tuple[Place, dict[object, str]]]] = {}

    def _share(self, order: list[Axis]) -> None:
        group, names = self.group, self.names
        self.add("thread = cuda.threadIdx.x")
        points = self.places.size(self.count(self.nest.axes))
        self.add(f"points = {points}")
        point, base = names.fresh("point"), names.fresh("base")
        if group.across:
            self.add(f"{self.lane} = quotient(thread, {group.warp})")
            mine = f"{base} + remainder(thread, {group.warp})"
        else:
            self.add(f"{self.lane} = remainder(thread, {group.size})")
            mine = f"{base} + quotient(thread, {group.size})"
        # a whole block has the same turns, so that all of its threads meet at every barrier
        step = f"cuda.gridDim.x * {group.points}"
        with self.grid_loop(base, f"cuda.blockIdx.x * {group.points}", "points", step):
            self.add(f"{point} = {mine}" if group.points > 1 else f"{point} = {base}")
            exists = ""
            if group.points > 1:
                self.add(f"exists = {point} < points")
                self.add(f"{point} = min({point}, points - 1)")
                exists = "exists"
            self.take_apart(point, order)
            self._row(exists)

    def _row(self, exists: str) -> None:
        """Everything about one point."""
        self.kept.clear()
        values = [root.value for root in (*self.plain, *self.along)]
        self.reductions.prepare([(value, ()) for value in values])
        stored = [
            (root, self.bind(root.value, self.text(root.value, whole=True), _new(root)))
            for root in self.plain
        ]
        for within in dict.fromkeys(root.within for root in self.along):
            roots = [root for root in self.along if root.within == within]
            for place, _ in self.walk_row(within):
                self._store_along(roots, place, exists)
        tests = [exists] if exists else []
        tests += [f"{self.lane} == 0"] if self.group.size > 1 else []
        if stored:
            with self.blocks([f"if {' and '.join(tests)}:"] if tests else []):
                for root, name in stored:
                    self.add(f"{self._place(root.buffer, root.index)} = {name}")

    def _store_along(self, roots: Sequence[Root], place: Place, exists: str) -> None:
        texts = [
            self.bind(root.value, self.text(root.value, whole=True), _new(root)) for root in roots
        ]
        tests = [test for test in (exists, place.exists) if test]
        with self.blocks([f"if {' and '.join(tests)}:"] if tests else []):
            for root, text in zip(roots, texts, strict=True):
                self.add(f"{self._place(root.buffer, root.index)} = {text}")

    # -- walking along a row ----------------------------------------------------------------

    def walk_row(self, axes: tuple[Axis, ...]) -> Iterator[tuple[Place, bool]]:
        """Every element of this thread, open in turn: (its place, whether it is kept).

        Names bound at a kept one are known again in the next walk over the same axes.
        """
        own = tuple(axis for axis in axes if axis.extent != 1)
        size = self.count(own)
        if isinstance(size, int) and self.keeps(size):
            for place, known in self._kept_places(own, size):
                self.places.axes.update(place.names)
                self.known.append(known)  # type: ignore[arg-type]
                yield place, True
                self.known.pop()
            return
        at, stop = self.names.fresh("at"), self.places.size(size)
        with self.block(f"for {at} in range({self.lane}, {stop}, {self.group.size}):"):
            self.take_apart(at, own)
            yield Place((), ""), False

    def keeps(self, size: int) -> bool:
        """Whether threads keep their elements of rows of ``size`` in registers."""
        return 0 < size <= self.group.size * MOST_KEPT

    def _kept_places(
        self, own: tuple[Axis, ...], size: int
    ) -> list[tuple[Place, dict[object, str]]]:
        if own not in self.kept:
            found: list[tuple[Place, dict[object, str]]] = []
            turns = -(-size // self.group.size)
            for turn in range(turns):
                at = self.names.fresh("at")
                start = f"{self.lane} + {turn * self.group.size}" if turn else self.lane
                exists = ""
                if (turn + 1) * self.group.size > size:
                    exists = self.names.fresh("inside")
                    self.add(f"{exists} = {start} < {size}")
                    start = f"min({start}, {size - 1})"
                self.add(f"{at} = {start}")
                self.take_apart(at, own, f"_{turn}")
                names = tuple((axis, self.places.axes[axis]) for axis in own)
                found.append((Place(names, exists), {}))
            self.kept[own] = found
        return self.kept[own]

    # -- putting the parts of a group together ------------------------------------------------

    def combine(self, reduce: Reduce, state: State) -> None:
        """Every thread's accumulator becomes the whole group's."""
        if reduce.kind.startswith("arg"):
            self._combine_places(reduce, state)
            return
        if self.group.across:
            self._across(reduce, state)
            return
        dtype = reduce.body.dtype
        lanes = min(self.group.size, self.group.warp)
        self._assign(state[0], f"warp_{reduce.kind}_{lanes}", dtype)
        warps = self.group.size // lanes
        if warps > 1:
            parts = self.share(f"{reduce.kind}_parts", warps, dtype)
            self.add("cuda.syncthreads()")
            with self.block(f"if remainder(thread, {lanes}) == 0:"):
                self.add(f"{parts}[quotient(thread, {lanes})] = {state[0]}")
            self.add("cuda.syncthreads()")
            self.add(f"{state[0]} = {parts}[remainder(thread, {warps})]")
            self._assign(state[0], f"warp_{reduce.kind}_{warps}", dtype)

    def _assign(self, name: str, function: str, dtype: DType) -> None:
        if function.endswith("_1"):
            return
        self.shared.used.add(function)
        if str(dtype) in SHUFFLED:
            self.add(f"{name} = {function}({name})")
        elif dtype.kind == "b":
            self.add(f"{name} = {function}(np.int64({name})) != 0")
        else:
            self.add(f"{name} = np.{dtype}({function}(np.int64({name})))")

    def share(self, hint: str, size: int, dtype: DType) -> str:
        """A new array in the block's shared memory."""
        name = self.names.fresh(hint)
        kind = "np.bool_" if dtype.kind == "b" else f"np.{dtype}"
        self.head.append(f"    {name} = cuda.shared.array({size}, {kind})")
        return name

    def _across(self, reduce: Reduce, state: State) -> None:
        """The warps' parts of each point of a warp, in the warps' order."""
        group, dtype = self.group, reduce.body.dtype
        parts = self.share(f"{reduce.kind}_parts", group.block, dtype)
        self.add("cuda.syncthreads()")
        self.add(f"{parts}[thread] = {state[0]}")
        self.add("cuda.syncthreads()")
        first = f"remainder(thread, {group.warp})"
        self.add(f"{state[0]} = {parts}[{first}]")
        other = self.names.fresh("other")
        for turn in range(1, group.size):
            self.add(f"{other} = {parts}[{first} + {turn * group.warp}]")
            self.add(f"{state[0]} = {combined(reduce.kind, state[0], other, dtype)}")

    def _combine_places(self, reduce: Reduce, state: State) -> None:
        """The best value and the first place that has it, through shared memory."""
        group = self.group
        values = self.share(f"{reduce.kind}_parts", group.block, reduce.body.dtype)
        places = self.share("places", group.block, reduce.dtype)
        self.add("cuda.syncthreads()")
        self.add(f"{values}[thread] = {state[0]}")
        self.add(f"{places}[thread] = {state[1]}")
        self.add("cuda.syncthreads()")
        stride = group.warp if group.across else 1
        first = f"quotient(thread, {group.size}) * {group.size}"
        if group.across:
            first = f"remainder(thread, {stride})"
        best, here, at = (self.names.fresh(n) for n in ("best", "best_place", "other"))
        self.add(f"{best} = {values}[{first}]")
        self.add(f"{here} = {places}[{first}]")
        with self.block(f"for {at} in range(1, {group.size}):"):
            value, place = self.names.fresh("value"), self.names.fresh("place")
            self.add(f"{value} = {values}[{first} + {at} * {stride}]")
            self.add(f"{place} = {places}[{first} + {at} * {stride}]")
            better = self.names.fresh("better")
            self.add(f"{better} = {_is_better(reduce, value, best, place, here)}")
            self.add(f"{best} = {value} if {better} else {best}")
            self.add(f"{here} = {place} if {better} else {here}")
        self.add(f"{state[0]} = {best}")
        self.add(f"{state[1]} = {here}")


class Shared(Single):
    """Outermost reductions that the threads of a group share."""

    body: RowsBody

    def __init__(self, body: RowsBody) -> None:
        super().__init__(body)
        self.inside = False  # whether a reduction is open: those within it are one thread's
        self.used: set[str] = set()  # device functions

    def _open(self, loops: Sequence[Loop], conditions: Conditions, step: Step) -> None:
        if self.inside:
            super()._open(loops, conditions, step)
            return
        axes = step.members[0][0].axes
        # a condition on where in the row a value is wanted does not guard a reduction of it
        open_axes = {*self.body.nest.axes, *axes}
        inside = tuple(c for c in conditions if axes_of(c.index) <= open_axes)
        for place, kept in self.body.walk_row(axes):
            self.inside = True
            with self._where(place, step, kept):
                self._innermost(inside, step)
            self.inside = False
        # a maximum may share its value with its position, which is lost once values are equal
        for reduce, state in sorted(step.members, key=lambda m: not m[0].kind.startswith("arg")):
            self.body.combine(reduce, state)

    @contextmanager
    def _where(self, place: Place, step: Step, kept: bool) -> Iterator[None]:
        """Values of kept elements are bound before the question whether they exist."""
        self.prepare(step.inner)
        if kept and not step.inside:
            for reduce, _ in step.members:
                value = _inner(reduce)
                text = self.body.text(value, whole=True)
                if not text.isidentifier() and not _is_literal(text):
                    self.body.bind(value, text, "value")
        with self.body.blocks([f"if {place.exists}:"] if place.exists else []):
            yield


def _is_literal(text: str) -> bool:
    return text.lstrip("-").isdigit() or text in ("True", "False")


def combined(kind: str, one: str, other: str, dtype: DType) -> str:
    """One step of a reduction of ``kind``; a NaN stays."""
    if kind in ("sum", "prod"):
        text = f"{one} {'+' if kind == 'sum' else '*'} {other}"
        return text if dtype.kind == "f" or dtype == I64 else f"np.{dtype}({text})"
    sign = ">" if kind == "max" else "<"
    if dtype.kind != "f":
        return f"{other} if {other} {sign} {one} else {one}"
    return f"{other} if {one} == {one} and ({other} {sign} {one} or {other} != {other}) else {one}"


def _is_better(reduce: Reduce, value: str, best: str, place: str, here: str) -> str:
    """Whether a value takes the best one's place: the first of equals, the first NaN."""
    sign = ">" if "max" in reduce.kind else "<"
    test = f"{value} {sign} {best} or ({value} == {best} and {place} < {here})"
    if reduce.body.dtype.kind != "f":
        return test
    nan, old = f"{value} != {value}", f"{best} != {best}"
    return f"({nan} and (not ({old}) or {place} < {here})) or (not ({old}) and ({test}))"


def shuffle_function(name: str) -> str:
    """The source of ``warp_KIND_LANES``: lanes onto lanes, halves first, in one order."""
    _, kind, lanes = name.split("_")
    lines = [
        '@cuda.jit(device=True, inline="always")',
        f"def {name}(value):",
        f'    """The {kind} over {lanes} neighbouring lanes, for all of them."""',
    ]
    half = int(lanes) // 2
    while half:
        lines.append(f"    other = cuda.shfl_xor_sync(0xFFFFFFFF, value, {half})")
        text = combined(kind, "value", "other", F32)
        lines.append(f"    value = {text}")
        half //= 2
    return "\n".join([*lines, "    return value"])


def _new(root: Root) -> str:
    return f"new_{root.buffer.name}"
