"""The op table's rows, each from its own cases: compiled results equal the interpreter's."""

import numpy as np
import pytest

from codegen import compile_graph
from ir import make
from ir.graph import Graph, build
from ir.interpret import interpret
from ir.ops import OPS
from ir.table import Case, Op
from ir.types import DTYPES, F32, I64, TensorType, dtype_of

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
ROUNDED |= {"sigmoid", "mix", "gelu", "gelu_slope"}
ROUNDED |= {op.name for op in OPS.values() if op.family == "composite"}
ROUNDED |= {"dot", "fold", "sqrt", "div", "cumsum", "put_add", "put_along"}


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


def special_arrays(dtype, count):
    """Every pair of special values, in as many operands as asked."""
    values = np.array(SPECIAL, dtype)
    grid = np.meshgrid(*[values] * count, indexing="ij")
    return [np.ascontiguousarray(part.ravel()) for part in grid]


@pytest.mark.parametrize("floats", ["f32", "f64"])
def test_special_values_of_elementwise_ops(assert_close, floats):
    dtype = dtype_of(floats)
    arrays = [np.array([True, False] * 72), *special_arrays(dtype, 2)]
    nodes = [make.input_node(TensorType(x.dtype, x.shape), f"x{at}") for at, x in enumerate(arrays)]
    condition, *pair = nodes
    ops = [op for op in ELEMENTWISE if "f" in op_kinds(op)]
    outputs = [build(op, [condition, *pair] if op.arity == 3 else pair[: op.arity]) for op in ops]
    graph = Graph(tuple(nodes), tuple(outputs))
    for batch_inputs in ((), (0, 1, 2)):
        found = compile_graph(graph, batch_inputs=batch_inputs).run(arrays)
        for op, one, other in zip(ops, found, interpret(graph, arrays), strict=True):
            assert_special(assert_close, op, one, other)


def assert_special(assert_close, op, found, wanted):
    __tracebackhide__ = True
    try:
        np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
        np.testing.assert_array_equal(np.isinf(found), np.isinf(wanted))
        sound = np.isfinite(wanted)
        tiny = np.finfo(found.dtype).tiny if found.dtype.kind == "f" else 0
        np.testing.assert_allclose(found[sound], wanted[sound], rtol=1e-6, atol=tiny)
    except AssertionError as error:
        raise AssertionError(f"{op.name}: {error}") from None


def op_kinds(op: Op) -> str:
    """The kinds of operands that an op takes, found by trying."""
    found = ""
    for name in ("f32", "i64", "u32", "bool"):
        node = make.input_node(TensorType(dtype_of(name), (2,)), "x")
        flag = make.input_node(TensorType(dtype_of("bool"), (2,)), "c")
        try:
            build(op, [flag, node, node] if op.arity == 3 else [node] * (op.arity or 1))
        except ValueError:
            continue
        found += dtype_of(name).kind
    return found


@pytest.mark.parametrize("name", ["i8", "i16", "i32", "i64", "u8", "u32", "bool"])
def test_elementwise_ops_on_whole_numbers_wrap_as_in_numpy(assert_compiled, name):
    dtype = dtype_of(name)
    rng = np.random.default_rng(0)
    if dtype.kind == "b":
        arrays = [rng.random(37) < 0.5 for _ in range(2)]
    else:
        limits = np.iinfo(dtype)
        arrays = [rng.integers(limits.min, limits.max, 37, dtype, True) for _ in range(2)]
        arrays[1][::3] = arrays[0][::3]
    nodes = [make.input_node(TensorType(dtype, (37,)), f"x{at}") for at in range(2)]
    ops = [op for op in ELEMENTWISE if dtype.kind in op_kinds(op) and op.arity in (1, 2)]
    outputs = [build(op, nodes[: op.arity]) for op in ops]
    outputs.append(make.select(make.eq(*nodes), *nodes))
    outputs += [make.cast(nodes[0], other) for other in DTYPES.values()]
    for batch_inputs in ((), (0, 1)):
        graph = Graph(tuple(nodes), tuple(outputs))
        assert_compiled(graph, arrays, batch_inputs=batch_inputs, exact=True)


@pytest.mark.parametrize("name", ["f32", "f64"])
def test_casts_of_floats_round_toward_zero(assert_compiled, name):
    x = make.input_node(TensorType(dtype_of(name), (36,)), "x")
    array = np.linspace(0.0, 100.0, 36).astype(x.dtype)
    outputs = [make.cast(x, other) for other in DTYPES.values()]
    assert_compiled(Graph((x,), tuple(outputs)), [array], exact=True)
    signed = [out for out in outputs if out.dtype.kind in "fib"]
    assert_compiled(Graph((x,), tuple(signed)), [array - 50], batch_inputs=(0,), exact=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batched", [False, True])
def test_ragged_reductions_with_nan(assert_compiled, size, batched):
    """Every reduction over rows, columns and everything; NaN wins, the first position wins."""
    rng = np.random.default_rng(size)
    x = make.input_node(TensorType(F32, (size, 19)), "x")
    array = rng.integers(-4, 5, (size, 19)).astype(np.float32)
    array[:, 3], array[0, 5:] = -np.inf, np.inf
    outputs = []
    for op in REDUCTIONS:
        attrs = {"dtype": I64} if op.name.startswith("arg") else {}
        outputs += [build(op, [x], {"axes": axes, **attrs}) for axes in ((0,), (1,), (0, 1))]
    graph, batch_inputs = Graph((x,), tuple(outputs)), (0,) if batched else ()
    assert_compiled(graph, [array], batch_inputs=batch_inputs)
    for place in ((0, 0), (size - 1, 18), (size // 2, 7)):
        array[place] = np.nan
        assert_compiled(graph, [array], batch_inputs=batch_inputs)


@pytest.mark.parametrize("name", ["i8", "i32", "i64", "u8", "u32"])
def test_reductions_of_whole_numbers(assert_compiled, name):
    dtype = dtype_of(name)
    limits = np.iinfo(dtype)
    array = np.random.default_rng(1).integers(limits.min, limits.max, (17, 21), dtype, True)
    x = make.input_node(TensorType(dtype, array.shape), "x")
    outputs = []
    for op in REDUCTIONS:
        attrs = {"dtype": I64} if op.name.startswith("arg") else {}
        outputs += [build(op, [x], {"axes": axes, **attrs}) for axes in ((0,), (1,), (1, 0))]
    for batch_inputs in ((), (0,)):
        assert_compiled(Graph((x,), tuple(outputs)), [array], batch_inputs=batch_inputs)


def test_positions_of_bools(assert_compiled):
    x = make.input_node(TensorType(dtype_of("bool"), (3, 18)), "x")
    array = np.random.default_rng(2).random((3, 18)) < 0.3
    outputs = (make.argmax(x, (1,)), make.argmin(x, (0,)), make.argmax(x, (0, 1)))
    assert_compiled(Graph((x,), outputs), [array], exact=True)


def test_empty_arrays(assert_compiled):
    """Nothing to compute, nothing touched; a sum of nothing is zero."""
    x = make.input_node(TensorType(F32, (0, 5)), "x")
    w = make.input_node(TensorType(F32, (5, 3)), "w")
    outputs = (
        make.exp(x),
        make.sum(x, (0,)),
        make.sum(x, (1,)),
        make.dot(x, w, ((1,), (0,))),
        make.dot(x, x, ((0,), (0,))),
        make.concatenate([x, x], 1),
        make.pad(x, (1, 0), (2, 0)),
    )
    arrays = [np.zeros((0, 5), np.float32), np.ones((5, 3), np.float32)]
    for batch_inputs in ((), (0,)):
        assert_compiled(Graph((x, w), outputs), arrays, batch_inputs=batch_inputs)


@pytest.mark.parametrize("narrow", ["i8", "i16", "u8", "bool", "bf16", "f16"])
def test_narrowed_rows_leave_their_neighbours_alone(narrow):
    """The last lane of a row of 33 is stored alone, after the first lane of the next row."""
    x = make.input_node(TensorType(F32, (5, 33)), "x")
    graph = Graph((x,), (make.cast(x, DTYPES[narrow]),))
    array = np.arange(1, 166, dtype=np.float32).reshape(5, 33) % 100
    found = compile_graph(graph).run([array])[0]
    np.testing.assert_array_equal(found, interpret(graph, [array])[0])
