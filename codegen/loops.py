"""A scan and the kernels of one turn in, where each turn finds its rows out.

A loop costs no code of its own: its turns are launches of the same kernels with other addresses.
A carry's history is one buffer, row by row; a turn reads one row and writes the next. A carry
that keeps no history goes to and fro between two buffers, so that it ends in the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from codegen.index import Axis, of_axis
from codegen.nest import Buffer, Load, Nest, Root
from codegen.patterns import history_rows
from ir.dims import Size, evaluate, product
from ir.graph import Location, Node

if TYPE_CHECKING:
    from codegen.kernels import Kernels

Fresh: TypeAlias = Callable[..., Buffer]  # (name, dtype, shape) -> a buffer with a name of its own


@dataclass(frozen=True)
class Loop:
    """The nests ``first`` to ``last`` (excluded) run ``turns`` times."""

    first: int
    last: int
    turns: Size


@dataclass(frozen=True)
class Place:
    """A buffer that is a row of another one: row ``start + step * turn`` of ``buffers[0]``.

    With two buffers, whole ones, it is the one that ends as ``buffers[0]`` after the last turn;
    ``lag`` 1 is where the turn before wrote, and ``first`` what turn 0 reads instead.
    """

    buffers: tuple[Buffer, ...]
    start: Size = 0
    step: int = 0
    row: Size = 0  # elements
    turns: Size = 1
    lag: int = 0
    first: Buffer | None = None

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """Every buffer that it may be."""
        return self.buffers if self.first is None else (*self.buffers, self.first)

    def owner(self, turn: int, env: Mapping[str, int]) -> tuple[Buffer, Place | None]:
        """The buffer at ``turn``, which depends on how many turns there are and no other size;
        and this place where it is a row of the buffer, None where it is the whole of it."""
        if self.first is not None and turn == 0:
            return self.first, None
        if len(self.buffers) == 2:
            left = evaluate(self.turns, env) - 1 - (turn - self.lag)
            return self.buffers[left % 2], None
        return self.buffers[0], self

    def at(self, turn: int, env: Mapping[str, int]) -> tuple[Buffer, int]:
        """The buffer and the offset in elements at ``turn``."""
        owner, row = self.owner(turn, env)
        if row is None:
            return owner, 0
        return owner, (evaluate(self.start, env) + self.step * turn) * evaluate(self.row, env)


@dataclass(frozen=True)
class Layout:
    """Nests to run before the first turn and at the end of each, and all places."""

    before: list[Nest] = field(default_factory=list)
    after: list[Nest] = field(default_factory=list)
    places: dict[Buffer, Place] = field(default_factory=dict)


def lay_out(
    scan: Node,
    turn: Kernels,
    buffers: Mapping[Node, Buffer],
    items: Mapping[int, Buffer],
    fresh: Fresh,
) -> Layout:
    """Where the inputs and outputs of one ``turn`` of ``scan`` lie.

    ``buffers`` are those of the scan's operands, ``items`` those of its results.
    """
    done, attrs = Layout(), scan.attrs
    carries, slices, length = attrs["carries"], attrs["slices"], attrs["length"]
    reverse = attrs["reverse"]
    outer = [_rows(node, buffers) for node in scan.inputs]
    outputs = _own_outputs(scan, turn, done, fresh)
    start, step = (length - 1, -1) if reverse else (0, 1)
    for at, inner in enumerate(turn.inputs):
        if at < carries:
            history = items.get(at)
            given = outer[at][0]
            _carry(done, attrs, at, (inner, outputs[at]), given, history, fresh, scan.loc)
        elif at < carries + slices:
            array, first = outer[at]
            done.places[inner] = Place((array,), start + first, step, product(inner.shape))
        else:
            done.places[inner] = Place((outer[at][0],))
    for at, inner in enumerate(outputs[carries:], carries):
        stack = items.get(at) or fresh("unread", inner.dtype, (length, *inner.shape))
        done.places[inner] = Place((stack,), start, step, product(inner.shape))
    return done


def _rows(node: Node, buffers: Mapping[Node, Buffer]) -> tuple[Buffer, int]:
    """The array in which an operand lies, and its first row there."""
    if node in buffers:
        return buffers[node], 0
    found = history_rows(node)
    assert found is not None, f"an operand of a loop is not stored: {node}"
    return buffers[found[0]], found[1]


def _own_outputs(scan: Node, turn: Kernels, done: Layout, fresh: Fresh) -> list[Buffer]:
    """The turn's outputs, each in a buffer that a kernel of the turn writes for it alone."""
    found: list[Buffer] = []
    for buffer in turn.outputs:
        if buffer in found or buffer in turn.inputs:
            own = fresh(f"{buffer.name}_next", buffer.dtype, buffer.shape)
            done.after.append(_copy(buffer, own, scan.loc))
            found.append(own)
        else:
            found.append(buffer)
    return found


def _carry(
    done: Layout,
    attrs: Mapping[str, object],
    at: int,
    inner: tuple[Buffer, Buffer],
    start: Buffer,
    history: Buffer | None,
    fresh: Fresh,
    loc: Location | None,
) -> None:
    """The places of a carry before and after a turn."""
    before, after = inner
    length: Size = attrs["length"]  # type: ignore[assignment]
    keep: Sequence[bool] = attrs["keep"]  # type: ignore[assignment]
    if not keep[at] or history is None:
        end = history or fresh(f"{before.name}_end", before.dtype, before.shape)
        other = fresh(f"{before.name}_other", before.dtype, before.shape)
        pair = (end, other)
        done.places[after] = Place(pair, turns=length)
        done.places[before] = Place(pair, turns=length, lag=1, first=start)
        return
    row = product(before.shape)
    first, step = (length, -1) if attrs["reverse"] else (0, 1)
    done.places[before] = Place((history,), first, step, row)
    done.places[after] = Place((history,), first + step, step, row)
    head = fresh(f"{before.name}_first", before.dtype, before.shape)
    done.places[head] = Place((history,), first, 0, row)
    done.before.append(_copy(start, head, loc))


def _copy(source: Buffer, target: Buffer, loc: Location | None) -> Nest:
    axes = tuple(Axis(f"i{at}", size) for at, size in enumerate(target.shape))
    index = tuple(of_axis(axis) for axis in axes)
    return Nest(
        f"copy_{target.name}",
        tuple(axis for axis in axes if axis.extent != 1),
        (Root(target, index, Load(source, index)),),
        None,
        loc,
        f"{source.name}, for a loop",
    )


def fixed_copies(turn: Kernels, scan: Node) -> list[Nest]:
    """The copies that one turn makes of what no turn changes."""
    fixed = turn.inputs[scan.attrs["carries"] + scan.attrs["slices"] :]
    return [n for n in turn.nests if n.is_copy and all(e.buffer in fixed for e in n.loads)]
