"""Kernels and their phases in, which result may take the place of an operand out.

An elementwise kernel, or an epilogue, often is the last that reads an array as large as its
result, each element where it stores the new one. The result then takes the operand's bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from codegen.nest import Buffer, Expr, Load, Nest, Reduce, Root, walk


class Fitting:
    """The operands that a result could overwrite, whoever else reads them; found once for each."""

    def __init__(self, nests: Sequence[Nest]) -> None:
        self.nests = nests
        self._known: dict[tuple[int, int], list[Buffer]] = {}

    def of(self, nest: int, root: int) -> list[Buffer]:
        """For result ``root`` of a nest."""
        if (nest, root) not in self._known:
            whole = self.nests[nest]
            self._known[nest, root] = _operands(whole, whole.roots[root])
        return self._known[nest, root]


def taken_places(
    fitting: Fitting, phases: Sequence[int], fixed: Collection[Buffer]
) -> dict[Buffer, Buffer]:
    """For each result that takes over an operand's bytes that operand; not for those ``fixed``.

    Nobody else may touch the operand in the phase of the kernel: another thread might be behind.
    """
    touched: dict[Buffer, list[int]] = {}
    for k, nest in enumerate(fitting.nests):
        for buffer in nest.buffers:
            touched.setdefault(buffer, []).append(k)
    found: dict[Buffer, Buffer] = {}
    gone = set(fixed)
    for k, nest in enumerate(fitting.nests):
        for at, root in enumerate(() if nest.turns else nest.roots):
            if root.buffer in gone or touched[root.buffer][0] != k:
                continue
            for old in fitting.of(k, at):
                others = touched[old][:-1]
                last = touched[old][-1] == k and all(phases[at] < phases[k] for at in others)
                if last and others and old not in gone:
                    found[root.buffer] = old
                    gone.add(old)
                    break
    return found


def _operands(nest: Nest, root: Root) -> list[Buffer]:
    """What ``root`` may overwrite: read at its own point alone, and by no other root."""
    mine = [other for other in nest.roots if other.buffer is root.buffer]
    if len(mine) > 1 or any(other.within for other in nest.roots):
        return []
    elsewhere = {load.buffer for other in nest.roots if other is not root for load in _loads(other)}
    summed = {
        expr.buffer
        for reduce in walk([root.value])
        if isinstance(reduce, Reduce)
        for expr in walk([reduce.body])
        if isinstance(expr, Load)
    }
    places: dict[Buffer, set[object]] = {}
    for load in _loads(root):
        places.setdefault(load.buffer, set()).add(load.index)
    return [
        buffer
        for buffer, indices in places.items()
        if indices == {root.index}
        and _alike(buffer, root.buffer)
        and buffer not in elsewhere
        and buffer not in summed
    ]


def _loads(root: Root) -> list[Load]:
    values: list[Expr] = [root.value]
    return [expr for expr in walk(values) if isinstance(expr, Load)]


def _alike(old: Buffer, new: Buffer) -> bool:
    """Whether an element lies at one place in both."""
    return (
        old.shape == new.shape
        and old.batch == new.batch
        and not (old.strips or new.strips or old.own or new.own)
        and old.dtype.itemsize == new.dtype.itemsize
    )


def owners(taken: Mapping[Buffer, Buffer]) -> dict[Buffer, Buffer]:
    """The first of each row of buffers that take one another's place."""
    found: dict[Buffer, Buffer] = {}
    for new, old in taken.items():
        found[new] = found.get(old, old)
    return found
