"""A nest in, the statements of its CUDA kernel out.

Two ways to share the points of a nest among threads:

- *points*: every thread takes points a grid apart, neighbours in memory going to neighbouring
  threads; a reduction is a loop of one thread;
- *blocks*: every block takes points a grid of blocks apart, and its threads share each outermost
  reduction, whose parts are put together in shared memory, always in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.index import Axis
from codegen.nest import Nest, Reduce
from codegen.portable.body import Body
from codegen.portable.names import Names
from codegen.portable.reductions import Conditions, Found, Reductions, State
from codegen.portable.spell import Shapes
from codegen.schedule import Schedule
from ir.types import DType


class CudaBody(Body):
    """Writes one kernel's statements; ``threads`` share a point where that is not 1."""

    def __init__(self, nest: Nest, names: Names, shapes: Shapes, threads: int) -> None:
        ones = dict.fromkeys(nest.axes, 1)
        axes = tuple(axis for axis in nest.axes if axis.extent != 1)
        plain = Schedule(nest, None, ones, axes, frozenset(), False)
        super().__init__(plain, names, shapes)
        self.threads = threads
        self.reductions = Shared(self) if threads > 1 else Single(self)

    def _share(self, order: list[Axis]) -> None:
        extents = [self.extent(axis) for axis in order]
        self.add(f"points = {' * '.join(extents) or '1'}")
        point = self.names.fresh("point")
        if self.threads > 1:
            self.add("thread = cuda.threadIdx.x")
            walk = "range(cuda.blockIdx.x, points, cuda.gridDim.x)"
        else:
            walk = "range(cuda.grid(1), points, cuda.gridsize(1))"
        with self.block(f"for {point} in {walk}:"):
            rest = point
            for axis, extent in reversed(list(zip(order[1:], extents[1:], strict=True))):
                name = self.places.axes[axis]
                self.add(f"{name} = {rest} % ({extent})")
                before, rest = rest, self.names.fresh("rest")
                self.add(f"{rest} = {before} // ({extent})")
            if order:
                self.add(f"{self.places.axes[order[0]]} = {rest}")
            self._point()

    def _point(self) -> None:
        if self.threads == 1:
            super()._point()
            return
        # every thread has every value: one of them stores it
        roots = self.plan.nest.roots
        self.reductions.prepare([(root.value, ()) for root in roots])
        with self.block("if thread == 0:"):
            values = [
                self.bind(root.value, self.text(root.value, whole=True), f"new_{root.buffer.name}")
                for root in roots
            ]
            for root, text in zip(roots, values, strict=True):
                self.add(f"{self._place(root.buffer, root.index)} = {text}")


class Single(Reductions):
    """Reductions of one thread: accumulators are registers."""

    def _name(self, hint: str, dtype: DType, row: bool) -> str:
        return self.body.names.fresh(hint)


class Shared(Single):
    """Outermost reductions that the threads of a block share."""

    def __init__(self, body: CudaBody) -> None:
        super().__init__(body)
        self.inside = False  # whether a reduction is open: those within it are one thread's
        self.shared: Axis | None = None  # whose steps the threads share
        self.states: dict[int, State] = {}

    def _loops(self, group: list[Found], inside: Conditions) -> None:
        if self.inside:  # one thread's, even over the axis that is shared outside
            before, self.shared = self.shared, None
            super()._loops(group, inside)
            self.shared = before
            return
        self.inside = True
        self.shared = _longest([axis for axis in group[0][0].axes if axis.extent != 1])
        whole = self.shared
        super()._loops(group, inside)
        self.inside, self.shared = False, None
        if whole is not None:
            # a maximum may share its value with its position, which is lost once values are equal
            for reduce, _ in sorted(group, key=lambda one: not one[0].kind.startswith("arg")):
                self._combine(reduce, self.states[id(reduce)])

    def _start(self, members: Sequence[Reduce], row: bool) -> list[State]:
        found = super()._start(members, row)
        self.states.update((id(r), s) for r, s in zip(members, found, strict=True))
        return found

    def _header(self, axis: Axis, part: str) -> str:
        if axis != self.shared:
            return super()._header(axis, part)
        name = self.body.places.axes[axis]
        return f"for {name} in range(thread, {self.body.extent(axis)}, {self._threads}):"

    @property
    def _threads(self) -> int:
        threads: int = self.body.threads  # type: ignore[attr-defined]
        return threads

    def _combine(self, reduce: Reduce, state: State) -> None:
        body, kind = self.body, reduce.kind
        room = body.names.fresh(f"{kind}_parts")
        body.head.append(
            f"    {room} = cuda.shared.array({self._threads}, {_type(reduce.body.dtype)})"
        )
        if kind.startswith("arg"):
            places = body.names.fresh("places")
            dtype = _type(reduce.dtype)
            body.head.append(f"    {places} = cuda.shared.array({self._threads}, {dtype})")
            names = f"{state[0]}, {state[1]}"
            body.add(f"{names} = block_{kind}({names}, {room}, {places}, thread)")
            return
        body.add(f"{state[0]} = block_{kind}({state[0]}, {room}, thread)")


def _longest(axes: Sequence[Axis]) -> Axis | None:
    """The axis with the most steps; an open size counts as many."""
    return max(axes, key=lambda a: a.extent if isinstance(a.extent, int) else 1 << 62, default=None)


def _type(dtype: DType) -> str:
    return "np.bool_" if dtype.kind == "b" else f"np.{dtype}"
