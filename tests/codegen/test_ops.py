"""The op table's rows, each from its own cases: compiled results equal the interpreter's."""

import numpy as np
import pytest

from ir import make
from ir.graph import Graph, build
from ir.ops import OPS
from ir.table import Case, Op
from ir.types import F32, F64, TensorType, dtype_of

SIZES = (1, 7, 16, 17, 33)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-40, 3e38, -3e38)
CASES = [
    pytest.param(op, case, id=f"{op.name}-{at}")
    for op in OPS.values()
    for at, case in enumerate(op.cases)
]
ELEMENTWISE = [op for op in OPS.values() if op.family == "elementwise" and op.name != "cast"]
REDUCTIONS = [op for op in OPS.values() if op.family == "reduction"]
# Kernels spell these exactly as NumPy does; the others are held to a few ulp.
ROUNDED = {"exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "pow", "sum", "prod"}
ROUNDED |= {"dot", "fold", "sqrt", "div"}


def nodes_of(op: Op, case: Case, floats: str = "f32"):
    names = case.dtypes or ("f32",) * len(case.shapes)
    dtypes = [dtype_of(floats if name == "f32" else name) for name in names]
    return [
        make.input_node(TensorType(dtype, shape), f"x{at}")
        for at, (dtype, shape) in enumerate(zip(dtypes, case.shapes, strict=True))
    ]


def random_array(rng, dtype, shape, low=-2.0, high=2.0):
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


def attributes(op: Op, case: Case, floats: str):
    attrs = dict(case.attrs)
    if op.name in ("constant", "size", "iota") and attrs["dtype"] == F32:
        attrs["dtype"] = dtype_of(floats)
    return attrs


@pytest.mark.parametrize("floats", ["f32", "f64"])
@pytest.mark.parametrize(("op", "case"), CASES)
def test_case_alone_and_over_a_batch(assert_compiled, op, case, floats):
    nodes = nodes_of(op, case, floats)
    rng = np.random.default_rng(len(op.name))
    arrays = [random_array(rng, n.dtype, n.shape, case.low, case.high) for n in nodes]
    graph = Graph(tuple(nodes), (build(op, nodes, attributes(op, case, floats)),))
    exact = op.name not in ROUNDED
    assert_compiled(graph, arrays, exact=exact)
    if nodes and nodes[0].type.rank:
        assert_compiled(graph, arrays, batch_inputs=range(len(nodes)), exact=exact)
        assert_compiled(graph, arrays, batch_inputs=(0,), exact=exact)
