"""Scheduled nests in, the LLVM text of a module out; equal kernels are emitted once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from codegen.nest import Load, Nest, walk
from codegen.schedule import Schedule
from codegen.vector.kernel import Kernel

PART = 8  # kernels in one text: enough for LLVM to do while the next are written


class Module:
    """The kernels of one program. ``names`` gives each nest's symbol."""

    def __init__(self, plans: Sequence[Schedule], dims: Mapping[str, int]) -> None:
        self._plans, self._dims = plans, dims
        self.names = _names(plans)
        self._distinct = dict(zip(self.names, plans, strict=True))
        self.key = "\n".join([*sorted(self._distinct), str(sorted(dims.items()))])

    def text(self) -> str:
        """The module: each distinct kernel once, then the declarations they need."""
        return self._text(self._distinct)

    def texts(self) -> Iterator[str]:
        """The same kernels, some in each text."""
        left = iter(self._distinct.items())
        while part := dict(islice(left, PART)):
            yield self._text(part)

    def _text(self, part: Mapping[str, Schedule]) -> str:
        functions, declared = [], {}
        for name, plan in part.items():
            kernel = Kernel(plan, self._dims)
            functions.append(kernel.text(name))
            declared.update(kernel.b.declared)
        return "\n\n".join([*functions, *declared.values(), "!0 = !{}"])


def _names(plans: Sequence[Schedule]) -> list[str]:
    """A symbol for each kernel, by what it computes; looked at once where nests are alike."""
    known: dict[int, str] = {}
    for plan in plans:
        first = plan.nest.first
        if id(first) not in known:
            known[id(first)] = f"k_{_digest(fingerprint(plan))}"
    return [known[id(plan.nest.first)] for plan in plans]


def fingerprint(plan: Schedule) -> str:
    """Everything that the code of a kernel depends on, with buffers numbered, not named."""
    nest = plan.nest
    numbers = {buffer: at for at, buffer in enumerate(nest.buffers)}
    seen: dict[int, int] = {}
    lines = [f"b{at} {b.dtype} {b.shape} {b.batch} {b.strips} {b.own}" for b, at in numbers.items()]
    exprs = list(walk([root.value for root in nest.roots]))
    for expr in exprs:
        seen[id(expr)] = len(seen)
    for expr in exprs:
        own = {
            name: value
            for name, value in vars(expr).items()
            if name not in ("args", "body", "fill", "_hash", "buffer")
        }
        where = numbers[expr.buffer] if isinstance(expr, Load) else ""
        below = [seen[id(arg)] for arg in expr.args]
        lines.append(f"{type(expr).__name__} {where} {below} {_content(own)}")
    for root in nest.roots:
        index = [str(part) for part in root.index]
        within = [(a.name, a.extent) for a in root.within]
        where = f"{numbers[root.buffer]} {index} {root.phase} {within}"
        lines.append(f"store {where} {seen[id(root.value)]}")
    return "\n".join([*lines, _loops(plan, nest)])


def _content(own: Mapping[str, object]) -> str:
    parts = []
    for name, value in sorted(own.items()):
        if name == "axes":
            value = [(a.name, a.extent) for a in value]  # type: ignore[attr-defined]
        elif name == "index":
            value = [str(p) for p in value] if isinstance(value, tuple) else str(value)
        elif name == "conditions":
            value = [(str(c.index), c.size, c.divisor) for c in value]  # type: ignore[attr-defined]
        parts.append(f"{name}={value!r}")
    return " ".join(parts)


def _loops(plan: Schedule, nest: Nest) -> str:
    axes = [(a.name, a.extent) for a in nest.axes]
    tile = [(a.name, n) for a, n in plan.tile.items()]
    order = [a.name for a in plan.order]
    unroll = sorted(a.name for a in plan.unroll)
    strips = [(a.name, step) for a, step in nest.strips]
    special = f"{plan.scatter is None} {plan.turned and plan.turned.name} {strips}"
    turns = [(a.name, a.extent) for a in nest.turns]
    return f"{axes} {tile} {order} {unroll} {plan.vector} {plan.by_batch} {special} {turns}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
