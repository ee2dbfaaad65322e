"""Random graphs in: compiled results equal the interpreter's, for every number of threads."""

import importlib.util
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from codegen import compile_graph, get_num_threads, set_num_threads
from ir.errors import UnsupportedError
from ir.interpret import interpret


def load_drawing():
    name = "codegen_test_random_graphs"
    path = Path(__file__).with_name("random_graphs.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


DRAWING = load_drawing()


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


def check(seed):
    drawn = DRAWING.draw(Random(seed))
    wanted = interpret(drawn.graph, drawn.arrays)
    try:
        program = compile_graph(drawn.graph, drawn.donated, drawn.batch_inputs)
    except UnsupportedError:
        assert drawn.symbolic, "every size is known"
        return
    first = None
    for threads in (1, 2, 3):
        set_num_threads(threads)
        given_arrays = [array.copy() for array in drawn.arrays]
        found = program.run(given_arrays)
        compare(found, wanted, exact=drawn.graph.inputs[0].dtype == np.float64)
        for out, into in drawn.donated.items():
            assert found[out] is given_arrays[into]
        for at, (now, before) in enumerate(zip(given_arrays, drawn.arrays, strict=True)):
            if at not in drawn.donated.values():
                np.testing.assert_array_equal(now, before)
        bits = [array.tobytes() for array in found]
        assert first in (None, bits), f"{threads} threads change the result"
        first = bits


def compare(found, wanted, exact):
    for one, other in zip(found, wanted, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if exact:
            np.testing.assert_array_equal(one, other)
        else:
            scale = float(np.abs(other).max(initial=1))
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6 * scale)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_compiled_equals_interpreted(seed):
    check(seed)
