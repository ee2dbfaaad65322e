"""Where outputs lie in, how each reaches the caller out.

A donated output is the caller's own array, overwritten; mostly in place, by the kernel that
computes it. Any other is a fresh array. What is less direct (one value given out twice, a state
that takes another one's old value, a state that other kernels read to the end) is copied before
the first kernel or after the last. All of that is decided once, when the program is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from codegen.nest import Buffer
from codegen.recycle import Recycler
from ir.graph import Graph

Array: TypeAlias = npt.NDArray[Any]
_NOTHING: Array = np.empty(0)
OLD, STATE, FRESH = "old value of input", "array of input", "fresh array"


@dataclass(frozen=True)
class Results:
    """For each output what it starts as; and what is copied after the last kernel.

    ``starts`` pairs a word with the input it is about; ``sources`` are these inputs (0 for none),
    and ``others`` the outputs that are not arrays of inputs. ``fresh`` are the outputs whose own
    array a kernel writes. ``copies`` are (output, the output that holds the value, input to
    overwrite or None).
    """

    starts: tuple[tuple[str, int], ...]
    fresh: tuple[int, ...]
    copies: tuple[tuple[int, int, int | None], ...]

    @cached_property
    def sources(self) -> tuple[int, ...]:
        return tuple(0 if word == FRESH else k for word, k in self.starts)

    @cached_property
    def others(self) -> tuple[tuple[int, str], ...]:
        return tuple((at, word) for at, (word, _) in enumerate(self.starts) if word != STATE)

    def begin(
        self,
        inputs: Sequence[Array],
        shapes: Sequence[tuple[int, ...]],
        buffers: Sequence[Buffer],
        memory: Recycler,
    ) -> list[Array]:
        """The arrays of all outputs, before the first kernel."""
        found = [inputs[k] for k in self.sources] if inputs else [_NOTHING] * len(self.starts)
        for at, word in self.others:
            if word == OLD:
                found[at] = found[at].copy()
            else:
                found[at] = memory.empty(at, shapes[at], buffers[at].dtype)
        return found

    def finish(self, inputs: Sequence[Array], results: list[Array]) -> None:
        """The copies after the last kernel."""
        for at, source, into in self.copies:
            if into is None:
                results[at] = results[source].copy()
            else:
                np.copyto(inputs[into], results[source])
                results[at] = inputs[into]


def check_donations(graph: Graph, donated: Mapping[int, int]) -> None:
    """ValueError where a donated output cannot take its input's memory."""
    if len(set(donated.values())) < len(donated):
        raise ValueError("two outputs cannot take the memory of one input")
    for out, into in donated.items():
        value, state = graph.outputs[out], graph.inputs[into]
        if value.type != state.type:
            raise ValueError(
                f"output {out} of type {value.type} cannot take the memory of input "
                f"{state.attrs['name']} of type {state.type}"
            )


def plan_results(
    inputs: Sequence[Buffer],
    outputs: Sequence[Buffer],
    old: Sequence[int | None],
    donated: Mapping[int, int],
) -> Results:
    """``old[at]`` is the input that output ``at`` merely repeats, None where it is computed."""
    states = {buffer: at for at, buffer in enumerate(inputs)}
    holders = _holders(outputs, old, donated, states)
    starts: list[tuple[str, int]] = []
    fresh: list[int] = []
    copies: list[tuple[int, int, int | None]] = []
    for at, buffer in enumerate(outputs):
        into, source = donated.get(at), old[at]
        if source is not None:
            starts.append((STATE if into == source else OLD, source))
            if into not in (None, source):
                copies.append((at, at, into))
        elif buffer in states:
            starts.append((STATE, states[buffer]))
            if into != states[buffer]:
                copies.append((at, at, into))
        else:
            starts.append((FRESH, at))
            holder = holders[buffer]
            if holder == at:
                fresh.append(at)
            if holder != at or into is not None:
                copies.append((at, holder, into))
    return Results(tuple(starts), tuple(fresh), tuple(copies))


def _holders(
    outputs: Sequence[Buffer],
    old: Sequence[int | None],
    donated: Mapping[int, int],
    states: Mapping[Buffer, int],
) -> dict[Buffer, int]:
    """The output whose own array each computed buffer is: one that is not donated, if any."""
    found: dict[Buffer, int] = {}
    for at, buffer in enumerate(outputs):
        if old[at] is not None or buffer in states:
            continue
        if buffer not in found or (found[buffer] in donated and at not in donated):
            found[buffer] = at
    return found
