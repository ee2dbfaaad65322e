"""A graph in, its kernels' nests as CUDA wants them out.

The clusters are the CPU's, rows that share a kernel included; the batch is in no lanes and no
operand is copied for them. Then single nests change: phases of a strided fold become kernels of
their own, few long rows are taken apart (``apart.py``), and a reduction that is too long for its
few points goes in two stages (``stages.py``). All that depends on sizes alone, so that results are
the same on every device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.counted import counted_order
from codegen.cuda.apart import rows_apart
from codegen.cuda.attention import AttentionNest
from codegen.cuda.attention_body import attention_of
from codegen.cuda.joined import joined_chains
from codegen.cuda.stages import in_stages
from codegen.cuda.ways import BLOCK, WARP
from codegen.cuda.widen import widened
from codegen.kernels import Kernels
from codegen.loops import Loop
from codegen.nest import Nest, Reduce, walk
from codegen.nests import build_nests
from ir.graph import Graph


def plan_cuda(graph: Graph, donated: Mapping[int, int]) -> Kernels:
    """The kernels of an already simplified graph for a CUDA device, in launch order."""
    kernels = build_nests(counted_order(graph), donated, (), rows=True, orders=False)
    chained = _joined(kernels)
    nests: list[Nest] = []
    starts: list[int] = []  # where the nests of each old one begin
    for stands in chained:
        starts.append(len(nests))
        for nest in stands:
            nests += [nest] if isinstance(nest, AttentionNest) else _cut(nest)
    starts.append(len(nests))
    loops = tuple(Loop(starts[loop.first], starts[loop.last], loop.turns) for loop in kernels.loops)
    calls = tuple(replace(call, before=starts[call.before]) for call in kernels.calls)
    return replace(kernels, nests=tuple(nests), loops=loops, calls=calls)


def _cut(nest: Nest) -> list[Nest]:
    """The nest, or the several that a GPU should run."""
    parts = (part for phase in by_phase(nest) for part in rows_apart(phase))
    return [stage for part in parts for stage in in_stages(part)]


def _joined(kernels: Kernels) -> list[tuple[Nest, ...]]:
    """What stands for each nest, attentions joined; not where loops or calls stand between them."""
    if kernels.loops or kernels.calls:
        return [(nest,) for nest in kernels.nests]
    kept = {*kernels.inputs, *kernels.outputs}
    kept |= {buffer for pair in kernels.copies for buffer in pair}
    nests = widened(kernels.nests, frozenset(kept))
    joined = iter(
        joined_chains(
            [nest for nest in nests if nest is not None],
            frozenset(kept),
            lambda nest: attention_of(nest, BLOCK, WARP) is not None,
        )
    )
    return [() if nest is None else next(joined) for nest in nests]


def by_phase(nest: Nest) -> list[Nest]:
    """One nest for each phase: they have nothing in common. Phases that sum nothing stay together:
    a thread goes through all of them at its point."""
    phases = list(dict.fromkeys(root.phase for root in nest.roots))
    if len(phases) == 1:
        return [nest]
    along = any(root.within for root in nest.roots)
    if not along and not any(
        isinstance(e, Reduce) for e in walk([root.value for root in nest.roots])
    ):
        return [replace(nest, roots=tuple(replace(root, phase=0) for root in nest.roots))]
    return [
        replace(
            nest,
            name=f"{nest.name}_{at}",
            roots=tuple(root for root in nest.roots if root.phase == phase),
        )
        for at, phase in enumerate(phases)
    ]
