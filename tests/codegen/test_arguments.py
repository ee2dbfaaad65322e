"""The table of arguments, made from whole columns, entry by entry."""

import numpy as np
import pytest

from codegen import compile_graph
from codegen.driver import FIELDS
from ir import make
from ir.graph import Graph
from ir.loops import close_body, item, rows_after, scan
from ir.types import F32, TensorType

BASE = 1 << 20  # where the arena would lie


def loop(turns, batch, width, with_history):
    """``state = tanh(state + row)`` over the rows of an array."""
    shapes = ((turns, batch, width), (batch, width))
    rows, start = (make.input_node(TensorType(F32, s), f"in{at}") for at, s in enumerate(shapes))
    state, row = (make.input_node(start.type, name) for name in ("state", "row"))
    new = make.apply("tanh", make.add(state, row))
    body, outer = close_body([state, row], [new, make.mul(new, new)])
    results = scan(body, 1, 1, [start, rows, *outer], turns, False)
    history = item(results, 0)
    found = [item(results, 1), make.sum(rows_after(history, False), (0, 1, 2))]
    return Graph((rows, start), tuple(found if with_history else found[:1]))


@pytest.mark.parametrize("shape", [(5, 3, 2), (1, 20, 3)])
@pytest.mark.parametrize("with_history", [False, True])
def test_every_address_of_a_loop(shape, with_history):
    program = compile_graph(loop(*shape, with_history))
    kernels, plan = program.kernels, program.memory_plan(arrays_of(program))
    launched = program._arguments.launched({})
    table = program._arguments.table(launched, plan, BASE, {}, 1)
    outside = {*kernels.inputs, *kernels.outputs}
    entry = 0
    for (k, turn), first in zip(launched.calls, launched.starts, strict=True):
        assert first == entry
        for buffer in kernels.nests[k].buffers:
            place = kernels.places.get(buffer)
            owner, row = (buffer, 0) if place is None else place.at(turn, {})
            offset = row * owner.dtype.itemsize
            if owner in outside:
                slots = table.slots[owner]
                offsets = np.broadcast_to(slots.offsets, slots.places.shape)
                found = dict(zip(slots.places, offsets, strict=True))
                assert found[entry] == offset
            else:
                assert table.rows[0, entry] == BASE + plan.offsets[owner.name] + offset
            entry += 1
    assert entry == launched.entries == table.rows.shape[1]
    first = kernels.loops[0].first
    turns = [turn for k, turn in launched.calls if k == first]
    assert turns == list(range(shape[0]))


def test_a_launch_names_its_arguments():
    program = compile_graph(loop(3, 20, 3, True))
    launched = program._arguments.launched({})
    table = np.zeros((1, launched.entries), np.int64)
    counts = [3 * k for k in range(len(program.plans))]
    waits = [k % 2 == 0 for k in range(len(program.plans))]
    rows = program._arguments.launches(launched, table, 7, counts, waits)
    assert rows.shape == (len(launched.calls), FIELDS)
    start = table.__array_interface__["data"][0]
    for row, (k, _), first in zip(rows, launched.calls, launched.starts, strict=True):
        assert row[0] != 0
        assert list(row[1:5]) == [start + 8 * first, 7, counts[k], waits[k]]


def arrays_of(program):
    """Inputs of the shapes that the program wants."""
    return [np.zeros(buffer.shape, buffer.dtype) for buffer in program.kernels.inputs]
