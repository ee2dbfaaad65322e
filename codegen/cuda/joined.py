"""Nests in launch order in, attentions and their gradients joined to few kernels out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from codegen.cuda.attention import (
    AttentionNest,
    Forward,
    backward_nest,
    forward_nest,
    stored_rows,
)
from codegen.cuda.chain import Chain, chain_of
from codegen.cuda.chain_back import Gradients, gradients_of
from codegen.cuda.web import Web
from codegen.nest import Buffer, Nest


def joined_chains(
    nests: Sequence[Nest], kept: frozenset[Buffer], fits: Callable[[AttentionNest], bool]
) -> list[tuple[Nest, ...]]:
    """For each nest what stands in its place: itself, an attention's kernels, or nothing.

    ``kept`` are buffers that are read from outside.
    """
    found: list[tuple[Nest, ...]] = [(nest,) for nest in nests]
    web = Web(nests, kept)
    for at in range(len(nests)):
        chain = chain_of(web, at)
        back = None if chain is None else gradients_of(web, chain)
        if chain is None or back is None or not _undisturbed(web, chain.steps, at):
            continue
        stored = stored_rows(chain.weights, back.peak, back.total) if back.members else ()
        forward = forward_nest(nests[at], Forward(chain.weights, back.result, stored))
        kernels = [backward_nest(nest, does) for nest, does in back.kernels]
        place = _place(web, chain, back, kernels) if kernels else at
        if place is None or not all(fits(nest) for nest in (forward, *kernels)):
            continue
        for step in (*chain.steps, *back.members):
            found[step] = ()
        found[at] = (forward,)
        if kernels:
            found[place] = (*((back.level,) if back.level is not None else ()), *kernels)
    return found


def _undisturbed(web: Web, steps: Sequence[int], last: int) -> bool:
    """Whether nothing that a step reads is written between it and the last one."""
    return all(
        web.quiet((load.buffer for load in web.nests[step].loads), step + 1, last, steps)
        for step in steps
    )


def _place(web: Web, chain: Chain, back: Gradients, kernels: Sequence[AttentionNest]) -> int | None:
    """The nest in whose place the gradients' kernels stand, all of them at once; None: nowhere.

    All that they read is there by then and stays until the last one; nobody misses a result.
    """
    own = {*back.members, *chain.steps, chain.at}
    new = {back.peak.buffer, back.total.buffer, *_written([back.level] if back.level else [])}
    read = {load.buffer for nest in kernels for load in nest.loads} - new
    read |= {load.buffer for load in back.level.loads} if back.level is not None else set()
    written = _written(kernels)
    first, last = min(chain.steps), max(back.members)
    if written & read or not web.quiet(written | read, first, last, own | _before(web, read)):
        return None
    made = [at for buffer in read for at in web.makers.get(buffer, []) if at not in own]
    late = [at for at in back.members if all(maker < at for maker in made)]
    early = [at for buffer in written for at in web.readers.get(buffer, set())]
    found = [at for at in late if all(at <= reader for reader in early) and at > chain.at]
    return min(found, default=None)


def _before(web: Web, read: set[Buffer]) -> set[int]:
    """The nests that alone make something that is read: before them there is nothing to disturb."""
    return {web.makers[b][0] for b in read if len(web.makers.get(b, [])) == 1 and b not in web.kept}


def _written(nests: Sequence[Nest]) -> set[Buffer]:
    return {root.buffer for nest in nests for root in nest.roots}
