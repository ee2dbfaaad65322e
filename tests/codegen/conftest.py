"""A graph and its arrays in, a verdict out: compiled results are held to the interpreter's.

``assert_compiled`` is what most tests of this folder end with. It runs the program on copies,
checks donated outputs for identity, and compares every output.
"""

import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from codegen import Program, compile_graph
from ir.graph import Graph
from ir.interpret import interpret

ULPS = 64  # sums in another order, our own exp; a wrong element is wrong by far more


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """``tests/codegen/networks.py``: test folders are no packages, so it is loaded by path."""
    name = "codegen_test_networks"
    path = Path(__file__).parent / "networks.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def assert_compiled() -> Callable[..., Program]:
    """A function that compiles a graph, runs it and compares with the interpreter."""
    return _assert_compiled


@pytest.fixture(scope="session")
def assert_close() -> Callable[..., None]:
    """A function that compares two arrays: exactly, or floats within a few ulp of the largest."""
    return _assert_close


def _assert_compiled(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    donated: Mapping[int, int] | None = None,
    batch_inputs: Collection[int] = (),
    exact: bool = False,
    ulps: float = ULPS,
) -> Program:
    wanted = interpret(graph, arrays)
    program = compile_graph(graph, donated, batch_inputs)
    given = [array.copy() for array in arrays]
    found = program.run(given)
    for at, (one, other) in enumerate(zip(found, wanted, strict=True)):
        _assert_close(one, other, exact, ulps)
        if at in (donated or {}):
            assert one is given[donated[at]]
    for at, (now, before) in enumerate(zip(given, arrays, strict=True)):
        if at not in (donated or {}).values():
            np.testing.assert_array_equal(now, before)
    return program


def _assert_close(
    found: np.ndarray, wanted: np.ndarray, exact: bool = False, ulps: float = ULPS
) -> None:
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if exact or wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    finite = wanted[np.isfinite(wanted)]
    scale = float(np.abs(finite).max(initial=0.0)) or 1.0
    bound = ulps * float(np.finfo(wanted.dtype).eps)
    np.testing.assert_allclose(found, wanted, rtol=bound, atol=bound * scale)
