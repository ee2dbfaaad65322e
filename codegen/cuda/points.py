"""A nest without long reductions in, a kernel in which every thread computes points out.

Threads take points a grid apart, neighbours in memory going to neighbouring threads; a reduction
is a loop of one thread. Where the innermost axis lies side by side in memory, a thread takes four
neighbours at once, and loads and stores them together.
"""

from __future__ import annotations

from math import prod

from codegen.cuda.body import CudaBody, Single
from codegen.index import Axis, factor_of, linearise, of_axis, scale
from codegen.nest import Apply, Buffer, Guard, Load, Nest, Reduce, Root, walk
from codegen.portable.body import _key
from codegen.portable.names import Names
from codegen.portable.reductions import Step
from codegen.scatter import Scatter, scatter_of

WIDTH = 4  # elements of one wide access
MOST_PARTS = 64  # expressions of a nest of which a thread computes four points


class PointsBody(CudaBody):
    """A thread for every point, or for every four."""

    def __init__(self, nest: Nest, names: Names) -> None:
        super().__init__(nest, names)
        self.wide = wide_axis(nest)
        scatter = scatter_of(nest)
        if scatter is not None:
            self.reductions = Meant(self, scatter)

    @property
    def threads_wanted(self) -> str:
        """Threads that have something to do, as an expression of the sizes."""
        points = self.places.size(self.count(self.nest.axes))
        return points if self.wide is None else f"({points}) // {WIDTH}"

    def _share(self, order: list[Axis]) -> None:
        point = self.names.fresh("point")
        self.add(f"points = {self.threads_wanted}")
        with self.grid_loop(point, "cuda.grid(1)", "points", "cuda.gridsize(1)"):
            if self.wide is None:
                self.take_apart(point, order)
                self._point()
            else:
                self._four(point, order, self.wide)

    def _four(self, point: str, order: list[Axis], wide: Axis) -> None:
        fours = Axis(f"{wide.name}_fours", int(wide.extent) // WIDTH)  # type: ignore[arg-type]
        self.names.axes[fours] = self.names.fresh(f"{self.names.axes[wide]}_four")
        self.places.axes[fours] = "0"
        self.take_apart(point, [fours if axis == wide else axis for axis in order])
        first = scale(of_axis(fours), WIDTH)
        loaded = {load: self._load(load, wide, first) for load in _side_by_side(self.nest, wide)}
        values: dict[Root, list[str]] = {root: [] for root in self.nest.roots}
        start = self.places.index(first)
        for at in range(WIDTH):
            self.places.axes[wide] = f"({start} + {at})" if start != "0" else str(at)
            with self.scope():
                for load, names in loaded.items():
                    self.known[-1][_key(load, ())] = names[at]
                for root in self.nest.roots:
                    text = self.text(root.value, whole=True)
                    if not text.isidentifier():
                        text = self.bind(root.value, text, f"new_{root.buffer.name}")
                    values[root].append(text)
        self.places.axes[wide] = start
        for root, texts in values.items():
            place = self.places.index(linearise(root.index, root.buffer.shape))
            name = self.names.buffers[root.buffer]
            self.add(f"store4({name}, {place}, ({', '.join(texts)}))")

    def _load(self, load: Load, wide: Axis, first: object) -> list[str]:
        self.places.axes[wide] = self.places.index(first)  # type: ignore[arg-type]
        names = [self.names.fresh(f"{load.buffer.name}_{at}") for at in range(WIDTH)]
        place = self.places.index(linearise(load.index, load.buffer.shape))
        self.add(f"{', '.join(names)} = load4({self.names.buffers[load.buffer]}, {place})")
        return names


class ApartBody(CudaBody):
    """A block for every group of roots of one point."""

    def __init__(self, nest: Nest, names: Names, groups: tuple[tuple[Root, ...], ...]) -> None:
        super().__init__(nest, names)
        self.groups = groups

    def _share(self, order: list[Axis]) -> None:
        with self.block("if cuda.threadIdx.x == 0:"):
            for at, roots in enumerate(self.groups):
                with self.block(f"if cuda.blockIdx.x == {at}:"):
                    texts = [
                        self.bind(r.value, self.text(r.value, whole=True), f"new_{r.buffer.name}")
                        for r in roots
                    ]
                    for root, text in zip(roots, texts, strict=True):
                        self.add(f"{self._place(root.buffer, root.index)} = {text}")


class Meant(Single):
    """Sums of the values that are meant for a row: others are not even read."""

    def __init__(self, body: CudaBody, scatter: Scatter) -> None:
        super().__init__(body)
        self.scatter = scatter

    def _innermost(self, conditions: object, step: Step) -> None:
        body, scatter = self.body, self.scatter
        ((reduce, (total,)),) = step.members
        assert isinstance(reduce.body, Apply)
        here = body.text(reduce.body.args[0])
        with body.block(f"if {here}:"):
            body.add(f"{total} += {body.text(scatter.value)}")


def wide_axis(nest: Nest) -> Axis | None:
    """The axis of which a thread takes four neighbours; None where it takes one point."""
    exprs = list(walk([root.value for root in nest.roots]))
    axes = [axis for axis in nest.axes if axis.extent != 1]
    if not axes or any(isinstance(e, Reduce) for e in exprs) or len(exprs) > MOST_PARTS:
        return None
    wide = axes[-1]
    if not isinstance(wide.extent, int) or wide.extent % WIDTH or not wide.extent:
        return None
    stored = [Load(root.buffer, root.index) for root in nest.roots]
    if not all(_is_side_by_side(place, wide) for place in stored):
        return None
    written = {root.buffer for root in nest.roots}
    own = [load for load in nest.loads if load.buffer in written]
    if not all(_is_side_by_side(load, wide) for load in own):
        return None
    return wide


def _side_by_side(nest: Nest, wide: Axis) -> list[Load]:
    """The loads whose four elements are neighbours that begin at a multiple of four.

    Those under a guard are not among them: they may be read only where it holds.
    """
    guarded = {
        id(inner)
        for e in walk([root.value for root in nest.roots])
        if isinstance(e, Guard)
        for inner in walk([e.body])
    }
    return [x for x in nest.loads if id(x) not in guarded and _is_side_by_side(x, wide)]


def _is_side_by_side(load: Load, wide: Axis) -> bool:
    place = linearise(load.index, load.buffer.shape)
    if load.args or factor_of(place, wide) != 1:
        return False
    steps = [by for atom, by in place.terms if atom != wide]
    whole = all(isinstance(by, int) and by % WIDTH == 0 for by in (*steps, place.offset))
    return whole and _is_whole(load.buffer)


def _is_whole(buffer: Buffer) -> bool:
    """Whether a row of a larger buffer begins at a multiple of four elements."""
    known = prod(size for size in buffer.shape if isinstance(size, int))
    return known % WIDTH == 0
