"""Products in, multiplied by tensor cores as the simulator plays them, held to NumPy out.

Collected by ``test_simulator.py`` alone, as ``simulated.py`` is.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from codegen.cuda import tensor, ways
from codegen.cuda.run import CudaProgram
from codegen.cuda.tensor import TENSOR_TILES
from ir import make
from ir.graph import Graph
from ir.interpret import interpret
from ir.types import BF16, F16, F32, TensorType

if "simulated" not in sys.modules:  # collected before it
    path = Path(__file__).with_name("simulated.py")
    spec = importlib.util.spec_from_file_location("simulated", path)
    sys.modules["simulated"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["simulated"])
sim = sys.modules["simulated"]
small, pytestmark = sim.small, sim.pytestmark


@pytest.mark.parametrize("kind", ["tf32", "bf16"])
@pytest.mark.parametrize("tile", TENSOR_TILES[3:], ids=lambda tile: f"{tile.threads} threads")
def test_tensor_cores(monkeypatch, tile, kind):
    """Small whole numbers, whose products are exact in 7 bits of mantissa; a ragged edge."""
    monkeypatch.setattr(tensor, "TENSOR_TILES", (tile,))
    monkeypatch.setattr(ways, "TENSOR_TILES", (tile,))
    graph = sim.product(tile.rows + 3, tile.columns - 1, 21)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-8, 8, node.shape).astype(np.float32) for node in graph.inputs]
    exact = CudaProgram(graph, block=tile.threads, blocks=2, precision=kind)
    assert exact.sources[0].way.endswith(f"{kind} by tensor cores")
    np.testing.assert_array_equal(exact.run(arrays)[0], arrays[0] @ arrays[1].T)


@pytest.mark.parametrize(("kind", "bits"), [("tf32", 10), ("bf16", 7)])
def test_tensor_cores_round(kind, bits):
    """Each factor to so many bits, and nothing else: sums are float32's."""
    graph = sim.product(16, 8, 16)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=node.shape).astype(np.float32) for node in graph.inputs]
    found = CudaProgram(graph, block=32, blocks=2, precision=kind).run(arrays)[0]
    wanted = arrays[0] @ arrays[1].T
    np.testing.assert_allclose(found, wanted, atol=2.0 ** (1 - bits) * np.abs(wanted).max())
    assert np.abs(found - wanted).max() > 1e-6
    if kind == "bf16":
        a, b = (array.astype(BF16).astype(np.float32) for array in arrays)
        np.testing.assert_allclose(found, a @ b.T, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [BF16, F16], ids=["bf16", "f16"])
def test_halves_go_by_tensor_cores_as_they_are(dtype):
    """Products of halves are exact in float32: nobody needs to ask for it, and "exact" does not."""
    shapes = {"a": (19, 21), "b": (11, 21)}
    nodes = [make.input_node(TensorType(dtype, shape), name) for name, shape in shapes.items()]
    a, b = (make.apply("cast", node, dtype=F32) for node in nodes)
    dot = make.dot(a, b, ((1,), (1,)))
    graph = Graph(tuple(nodes), (dot, make.apply("cast", dot, dtype=dtype)))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=node.shape).astype(dtype) for node in nodes]
    wanted = interpret(graph, arrays)
    for precision, words in (("default", "by tensor cores"), ("exact", "")):
        one = CudaProgram(graph, block=32, blocks=2, precision=precision)
        assert ("by tensor cores" in one.sources[0].way) == bool(words)
        full, half = one.run(arrays)
        np.testing.assert_allclose(full, wanted[0], rtol=1e-6, atol=1e-6)
        assert half.dtype == dtype
        np.testing.assert_allclose(
            half.astype(np.float32), wanted[1].astype(np.float32), rtol=2**-7, atol=1e-3
        )
