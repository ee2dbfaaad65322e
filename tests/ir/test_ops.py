"""The op table's rows, each from its own cases: values, types, first and second derivatives."""

import math
from itertools import product

import numpy as np
import pytest

from ir import make
from ir.dims import symbol
from ir.grad import gradient
from ir.graph import Graph, Node, build
from ir.interpret import interpret
from ir.ops import OPS
from ir.ops.source import threefry
from ir.table import Case, Op, row_table
from ir.types import F32, F64, TensorType, dtype_of, is_float

CASES = [
    pytest.param(op, case, id=f"{op.name}-{at}")
    for op in OPS.values()
    for at, case in enumerate(op.cases)
]
DIFFERENTIABLE = [
    param
    for param in CASES
    if param.values[0].vjp is not None
    and set(param.values[1].dtypes) in (set(), {"f32"}, {"bool", "f32"})
    and param.values[1].attrs.get("dtype", F32) in (F32, F64)
]
STEP, BOUND = 1e-6, 1e-6

# Meanings said once more, by another road than the table's: the standard library element by
# element, or loops over indices.
SCALAR = {
    "neg": lambda x: -x,
    "abs": math.fabs,
    "sign": lambda x: (x > 0) - (x < 0),
    "relu": lambda x: x if x > 0 else 0.0,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "erf": math.erf,
    "gelu": lambda x: x * math.erfc(-x * 0.5**0.5) / 2,
    "gelu_slope": lambda x: (
        math.erfc(-x * 0.5**0.5) / 2 + x * math.exp(-x * x / 2) / (2 * math.pi) ** 0.5
    ),
    "floor": math.floor,
    "ceil": math.ceil,
    "not": lambda x: not x,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": math.pow,
    "fmod": math.fmod,
    "maximum": max,
    "minimum": min,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "xor": lambda a, b: bool(a) != bool(b),
    "select": lambda c, a, b: a if c else b,
}


def operands(op: Op, case: Case, floats: str = "f32") -> tuple[list[Node], list[np.ndarray]]:
    """Input nodes and random arrays of a case, its f32 operands as ``floats``."""
    rng = np.random.default_rng(len(op.name))
    names = case.dtypes or ("f32",) * len(case.shapes)
    dtypes = [dtype_of(floats if name == "f32" else name) for name in names]
    nodes = [
        make.input_node(TensorType(dtype, shape), f"x{at}")
        for at, (dtype, shape) in enumerate(zip(dtypes, case.shapes, strict=True))
    ]
    arrays = [
        rng.random(shape) < 0.5
        if dtype.kind == "b"
        else np.asarray(rng.uniform(case.low, case.high, shape)).astype(dtype)
        for dtype, shape in zip(dtypes, case.shapes, strict=True)
    ]
    return nodes, arrays


def run(op: Op, case: Case, floats: str = "f32") -> tuple[np.ndarray, list[np.ndarray]]:
    nodes, arrays = operands(op, case, floats)
    node = build(op, nodes, dict(case.attrs))
    (found,) = interpret(Graph(tuple(nodes), (node,)), arrays)
    assert found.dtype == node.dtype
    assert found.shape == node.shape
    return found, arrays


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_row_is_complete(op):
    families = ("source", "elementwise", "movement", "reduction", "contraction", "indexing")
    assert op.family in (*families, "factor", "loop", "composite")
    assert (op.family == "composite") == (op.expand is not None)
    assert op.cases or op.name == "input" or op.family == "loop"  # a loop's case is a graph
    if op.family == "elementwise":
        operands_named = {at for at in range(4) if f"{{{at}}}" in op.text}
        assert operands_named == set(range(op.arity or 0))


def test_two_rows_cannot_share_a_name():
    with pytest.raises(ValueError, match="op add has two rows"):
        row_table([OPS["add"]], [OPS["add"]])


@pytest.mark.parametrize(("op", "case"), CASES)
def test_result_has_the_inferred_type(op, case):
    run(op, case)
    run(op, case, "f64")


@pytest.mark.parametrize(
    ("op", "case"), [param for param in CASES if param.values[0].name in SCALAR]
)
def test_elementwise_ops_agree_with_the_standard_library(op, case):
    found, arrays = run(op, case, "f64")
    for index in np.ndindex(*found.shape):
        wanted = SCALAR[op.name](*(array[index].item() for array in arrays))
        assert found[index] == pytest.approx(wanted, rel=1e-14, abs=1e-300)


def test_every_elementwise_op_has_a_second_meaning():
    missing = {op.name for op in OPS.values() if op.family == "elementwise"} - set(SCALAR)
    assert missing == {"cast"}


@pytest.mark.parametrize(
    ("name", "special"),
    [
        ("relu", [0.0, np.inf, np.nan, 0.0, -0.0]),
        ("sign", [-1.0, 1.0, np.nan, 0.0, 0.0]),
        ("floor", [-np.inf, np.inf, np.nan, 0.0, -0.0]),
        ("neg", [np.inf, -np.inf, np.nan, -0.0, 0.0]),
    ],
)
def test_special_values(name, special):
    x = make.input_node(TensorType(F32, (5,)), "x")
    values = np.array([-np.inf, np.inf, np.nan, 0.0, -0.0], np.float32)
    (found,) = interpret(Graph((x,), (make.apply(name, x),)), [values])
    np.testing.assert_array_equal(found, np.array(special, np.float32))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_nan_wins_every_comparison(name):
    x = make.input_node(TensorType(F32, (4,)), "x")
    y = make.input_node(TensorType(F32, (4,)), "y")
    nan = np.float32(np.nan)
    outputs = (make.apply(name, x, y), make.apply(name[:3], x, axes=(0,)), make.argmax(x, (0,)))
    graph = Graph((x, y), outputs)
    a, b = np.array([1, nan, 2, 3], np.float32), np.array([nan, 1, 2, 1], np.float32)
    pairs, whole, position = interpret(graph, [a, b])
    assert np.isnan(pairs).tolist() == [True, True, False, False]
    assert np.isnan(whole)
    assert position == 1


@pytest.mark.parametrize(("op", "case"), [p for p in CASES if p.values[0].name == "dot"])
def test_dot_is_the_sum_over_contracted_indices(op, case):
    found, (a, b) = run(op, case, "f64")
    (ca, cb), (ba, bb) = case.attrs["contract"], case.attrs["batch"]
    wanted = np.zeros(found.shape)
    for i, j in product(np.ndindex(*a.shape), np.ndindex(*b.shape)):
        if all(i[p] == j[q] for p, q in (*zip(ca, cb, strict=True), *zip(ba, bb, strict=True))):
            at = [i[p] for p in ba]
            at += [i[p] for p in range(a.ndim) if p not in ca and p not in ba]
            at += [j[q] for q in range(b.ndim) if q not in cb and q not in bb]
            wanted[tuple(at)] += a[i] * b[j]
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("op", "case"), [p for p in CASES if p.values[0].name == "window"])
def test_window_reads_at_stride_and_dilation(op, case):
    found, (x,) = run(op, case)
    axes, rank = case.attrs["axes"], x.ndim
    for index in np.ndindex(*found.shape):
        at = list(index[:rank])
        for axis, k, s, d in zip(
            axes, index[rank:], case.attrs["stride"], case.attrs["dilation"], strict=True
        ):
            at[axis] = index[axis] * s + k * d
        assert found[index] == x[tuple(at)]


def test_fold_is_the_transpose_of_window():
    for case in OPS["window"].cases:
        x = make.input_node(TensorType(F64, case.shapes[0]), "x")
        view = make.window(x, **case.attrs)
        y = make.input_node(view.type, "y")
        extent = tuple(x.shape[axis] for axis in case.attrs["axes"])
        back = make.fold(y, **case.attrs, extent=extent)
        every = tuple(range(x.type.rank)), tuple(range(y.type.rank))
        left = make.sum(make.mul(view, y), every[1])
        right = make.sum(make.mul(x, back), every[0])
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(x.shape), rng.standard_normal(y.shape)]
        one, other = interpret(Graph((x, y), (left, right)), arrays)
        assert one == pytest.approx(other)


def test_pad_and_slice_undo_each_other():
    x = make.input_node(TensorType(F32, (3, 4)), "x")
    padded = make.pad(x, (1, 0), (2, 3), (0, 2), -7.0)
    back = make.slice(padded, (1, 0), (4, 10), (1, 3))
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    wide, same = interpret(Graph((x,), (padded, back)), [array])
    assert (wide == -7).sum() == wide.size - 12
    np.testing.assert_array_equal(same, array)


def test_argmax_takes_the_first_of_equals_in_the_order_of_its_axes():
    x = make.input_node(TensorType(F32, (2, 3)), "x")
    array = np.array([[0, 5, 1], [5, 5, 0]], np.float32)
    outputs = (make.argmax(x, (0, 1)), make.argmax(x, (1,)), make.argmin(x, (1,)))
    flat, rows, least = interpret(Graph((x,), outputs), [array])
    assert (flat, rows.tolist(), least.tolist()) == (1, [1, 0], [0, 2])


def test_threefry_known_answers():
    """Vectors of the Random123 distribution (Threefry-2x32, 20 rounds), counter (0, 0)."""
    zero = np.zeros(1, np.int64)
    assert threefry(np.array([0, 0], np.uint32), zero)[0] == 0x6B200159


def test_random_bits_depend_on_key_and_place_alone():
    key = make.input_node(TensorType(dtype_of("u32"), (2,)), "key")
    outputs = (make.random_bits(key, (2, 500)), make.random_bits(key, (1000,)))
    first, flat = interpret(Graph((key,), outputs), [np.array([1, 2], np.uint32)])
    (other, _) = interpret(Graph((key,), outputs), [np.array([1, 3], np.uint32)])
    np.testing.assert_array_equal(first.ravel(), flat)
    assert (first != other).mean() > 0.99
    assert abs(first.astype(np.float64).mean() / 2**32 - 0.5) < 0.03
    assert len(set(flat.tolist())) == 1000


def test_symbolic_shapes_flow_through_the_type_rules():
    n = symbol("N")
    x = make.input_node(TensorType(F32, (n, 4)), "x")
    assert make.concatenate([x, x], 0).shape == (2 * n, 4)
    assert make.pad(x, (1, 0), (2, 0)).shape == (n + 3, 4)
    assert make.reshape(x, (2 * n, 2)).shape == (2 * n, 2)
    assert make.dot(x, x, ((1,), (1,))).shape == (n, n)
    assert make.slice(x, (0, 1), (n, 3), (1, 1)).shape == (n, 2)
    assert make.iota((n,), 0, F32).shape == (n,)


@pytest.mark.parametrize(("op", "case"), DIFFERENTIABLE)
def test_gradient_agrees_with_finite_differences(op, case):
    nodes, arrays = operands(op, case, "f64")
    node = build(op, nodes, dict(case.attrs))
    floats = [at for at, source in enumerate(nodes) if is_float(source.dtype)]
    check_gradient(scalar_of(node), nodes, arrays, floats)


@pytest.mark.parametrize(
    "name",
    ["exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "mul", "div", "pow"]
    + ["dot", "prod", "window", "fold", "pad", "slice", "broadcast", "transpose", "concatenate"],
)
def test_second_derivative_agrees_with_finite_differences(name):
    op = OPS[name]
    case = min(op.cases, key=lambda case: sum(math.prod(shape) for shape in case.shapes))
    nodes, arrays = operands(op, case, "f64")
    node = build(op, nodes, dict(case.attrs))
    loss = scalar_of(make.mul(node, node))
    slopes = gradient(loss, nodes)
    total = scalar_of(slopes[0])
    for slope in slopes[1:]:
        total = make.add(total, scalar_of(slope))
    check_gradient(total, nodes, arrays, range(len(nodes)))


def scalar_of(node: Node) -> Node:
    """A sum of the node's elements, weighted so that no two weigh the same."""
    axes = tuple(range(node.type.rank))
    weights = make.add(make.mul(make.flat_index(node.shape, axes, F64), 0.37), 0.5)
    return make.sum(make.mul(node, make.sin(weights)), axes)


def check_gradient(loss: Node, nodes: list[Node], arrays: list[np.ndarray], wrt: object) -> None:
    wrt = list(wrt)
    value = Graph(tuple(nodes), (loss,))
    found = interpret(Graph(tuple(nodes), tuple(gradient(loss, [nodes[i] for i in wrt]))), arrays)
    for at, slope in zip(wrt, found, strict=True):
        for index in np.ndindex(*arrays[at].shape):
            up, down = [x.copy() for x in arrays], [x.copy() for x in arrays]
            up[at][index] += STEP
            down[at][index] -= STEP
            wanted = (interpret(value, up)[0] - interpret(value, down)[0]) / (2 * STEP)
            assert slope[index] == pytest.approx(wanted, rel=1e-5, abs=BOUND * 10)
