"""Graphs in, a verdict out: kernels that Numba compiled from our source give what NumPy gives.

Numba takes a fifth of a second for a kernel, so each op is compiled once, over its largest case.
"""

import linecache
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen import compile_graph
from ir import make
from ir.dims import symbol
from ir.errors import UnsupportedError
from ir.grad import gradient
from ir.graph import Graph, Node, build
from ir.interpret import interpret
from ir.ops import OPS
from ir.passes import canonicalise_nodes
from ir.table import Case
from ir.types import F32, F64, I64, U32, TensorType, dtype_of

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"i8": 100, "u8": 200, "i32": 2**31 - 1, "u32": 2**32 - 1}


def tensor(name: str, *shape: Any, dtype: Any = F32) -> Node:
    return make.input_node(TensorType(dtype, shape), name)


def assert_same(graph: Graph, arrays: list[Array], batch: tuple[int, ...] = (0,)) -> None:
    wanted = interpret(graph, arrays)
    program = compile_graph(graph, batch_inputs=batch, spelling="numba")
    assert program.report.spelling == "numba"
    for found, one in zip(program.run(arrays), wanted, strict=True):
        assert (found.dtype, found.shape) == (one.dtype, one.shape)
        if one.dtype.kind != "f":
            np.testing.assert_array_equal(found, one)
            continue
        scale = float(np.abs(one[np.isfinite(one)]).max(initial=1e-3))
        np.testing.assert_allclose(found, one, rtol=4e-6, atol=2e-6 * scale)


def drawn(case: Case, rng: np.random.Generator) -> list[Array]:
    dtypes = case.dtypes or ("f32",) * len(case.shapes)
    return [
        np.asarray(rng.random(shape) < 0.5)
        if dtype == "bool"
        else np.asarray(rng.uniform(case.low, case.high, shape)).astype(dtype_of(dtype))
        for shape, dtype in zip(case.shapes, dtypes, strict=True)
    ]


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.cases])
def test_op_gives_what_numpy_gives(name: str, rng: np.random.Generator) -> None:
    case = max(OPS[name].cases, key=lambda c: sum(int(np.prod(s)) for s in c.shapes))
    arrays = drawn(case, rng)
    inputs = [tensor(f"x{at}", *a.shape, dtype=dtype_of(a.dtype)) for at, a in enumerate(arrays)]
    graph = Graph(tuple(inputs), (build(OPS[name], inputs, dict(case.attrs)),))
    assert_same(graph, arrays, (0,) if arrays and arrays[0].ndim else ())


def test_nan_and_infinity_keep_their_meaning() -> None:
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e38, -1e38, 1e-40]
    x, y = np.meshgrid(special, special)
    a, b = tensor("a", *x.shape), tensor("b", *x.shape)
    binary = ("add", "mul", "div", "maximum", "minimum", "lt", "ne")
    unary = ("relu", "sign", "exp", "log", "sqrt", "tanh", "abs")
    outputs = [make.apply(name, a, b) for name in binary]
    outputs += [make.apply(name, a) for name in unary]
    outputs += [make.apply(kind, a, axes=(1,)) for kind in ("max", "min")]
    outputs += [make.apply(kind, a, axes=(1,), dtype=I64) for kind in ("argmax", "argmin")]
    arrays = [x.astype(np.float32), y.astype(np.float32)]
    with np.errstate(all="ignore"):
        assert_same(Graph((a, b), tuple(outputs)), arrays, ())


def test_integers_wrap_as_numpy_integers_do() -> None:
    """Numba widens small integers; the source must not."""
    inputs, outputs, arrays = [], [], []
    for name, high in SMALL.items():
        a = tensor(f"a_{name}", 2, 3, dtype=dtype_of(name))
        inputs.append(a)
        arrays.append(np.array([[high, 3, 7], [1, high, 2]]).astype(a.dtype))
        total = make.sum(make.mul(a, a), (1,))
        outputs += [make.add(a, a), total, make.apply("neg", a)]
    with np.errstate(all="ignore"):
        assert_same(Graph(tuple(inputs), tuple(outputs)), arrays, ())


def test_one_program_serves_every_batch_size(rng: np.random.Generator) -> None:
    x, w = tensor("x", symbol("N"), 7), tensor("w", 5, 7)
    scores = make.apply("relu", make.dot(x, w, ((1,), (1,))))
    loss = make.div(make.sum(scores, (0, 1)), make.size(symbol("N"), F32))
    (slope,) = gradient(canonicalise_nodes([loss])[loss], [w])
    graph = Graph((x, w), (loss, slope, scores))
    program = compile_graph(graph, batch_inputs=(0,), spelling="numba")
    weight = rng.standard_normal((5, 7)).astype(np.float32)
    for rows in (1, 5, 16, 33, 64):
        arrays = [rng.standard_normal((rows, 7)).astype(np.float32), weight]
        for found, wanted in zip(program.run(arrays), interpret(graph, arrays), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_donated_outputs_are_written_in_place(rng: np.random.Generator) -> None:
    w, g, rate = (
        tensor("lambda", 9, 20, dtype=F64),
        tensor("range", 9, 20, dtype=F64),
        tensor("np", dtype=F64),
    )
    after = make.sub(w, make.mul(g, make.broadcast(rate, w.shape, ())))
    graph = Graph((w, g, rate), (after, make.sum(make.mul(w, g), (0, 1))))
    arrays = [rng.standard_normal((9, 20)), rng.standard_normal((9, 20)), np.array(0.1)]
    wanted = interpret(graph, arrays)
    given = [a.copy() for a in arrays]
    found = compile_graph(graph, {0: 0}, spelling="numba").run(given)
    assert found[0] is given[0]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-14)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12)


def test_random_bits_are_the_interpreters() -> None:
    key = tensor("key", 2, dtype=U32)
    bits = build(OPS["random_bits"], [key], {"shape": (4, 33)})
    assert_same(Graph((key,), (bits,)), [np.array([7, 2**32 - 1], np.uint32)], ())


def test_a_convolutions_step_is_the_interpreters(rng: np.random.Generator) -> None:
    """A small LeNet: strided and padded convolution, pooling, loss, all gradients, SGD."""
    graph, donated, arrays = small_network(rng)
    wanted = interpret(graph, arrays)
    program = compile_graph(graph, donated, (0, 1), spelling="numba")
    found = program.run([a.copy() for a in arrays])
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
    again = compile_graph(graph, donated, (0, 1), spelling="numba")
    assert again.report.cache_hit


def small_network(rng: np.random.Generator) -> tuple[Graph, dict[int, int], list[Array]]:
    rows = 20
    x, labels, rate = tensor("x", rows, 2, 12, 12), tensor("y", rows, dtype=I64), tensor("lr")
    weights = [tensor("conv_weight", 4, 2, 3, 3), tensor("conv_bias", 4)]
    weights += [tensor("fc_weight", 10, 36), tensor("fc_bias", 10)]
    padded = make.pad(x, (0, 0, 1, 1), (0, 0, 1, 1))
    windows = make.window(padded, (2, 3), (3, 3), (2, 2), (1, 1))
    sums = make.transpose(make.dot(windows, weights[0], ((1, 4, 5), (1, 2, 3))), (0, 3, 1, 2))
    active = make.apply("relu", make.add(sums, make.broadcast(weights[1], sums.shape, (1,))))
    pooled = make.max(make.window(active, (2, 3), (2, 2), (2, 2), (1, 1)), (4, 5))
    flat = make.reshape(pooled, (rows, 36))
    scores = make.dot(flat, weights[2], ((1,), (1,)))
    scores = make.add(scores, make.broadcast(weights[3], scores.shape, (1,)))
    highest = make.broadcast(make.max(scores, (1,)), scores.shape, (0,))
    moved = make.sub(scores, highest)
    hot = make.eq(make.iota(scores.shape, 1, I64), make.broadcast(labels, scores.shape, (0,)))
    picked = make.sum(make.select(hot, moved, make.full_like(moved, 0)), (1,))
    losses = make.sub(make.log(make.sum(make.exp(moved), (1,))), picked)
    loss = make.div(make.sum(losses, (0,)), make.size(rows, F32))
    slopes = gradient(canonicalise_nodes([loss])[loss], weights)
    after = [
        make.sub(w, make.mul(slope, make.broadcast(rate, w.shape, ())))
        for w, slope in zip(weights, slopes, strict=True)
    ]
    graph = Graph((x, labels, rate, *weights), (loss, *after))
    arrays = [0.3 * rng.standard_normal(node.shape).astype(np.float32) for node in graph.inputs]
    arrays[0], arrays[1] = arrays[0] * 3, rng.integers(0, 10, rows)
    arrays[2] = np.array(0.05, np.float32)
    return graph, {at + 1: at + 3 for at in range(4)}, arrays


def test_an_unknown_spelling_is_named() -> None:
    x = tensor("x", 3)
    with pytest.raises(UnsupportedError, match="fortran"):
        compile_graph(Graph((x,), (make.exp(x),)), spelling="fortran")


def test_tracebacks_show_the_source() -> None:
    x = tensor("x", 3, 3)
    compile_graph(Graph((x,), (make.exp(x),)), spelling="numba")
    files = [name for name in linecache.cache if name.startswith("<tracefuse ")]
    assert any("math.exp" in line for name in files for line in linecache.getlines(name))


def test_numba_is_imported_for_this_spelling_only() -> None:
    probe = "import sys, codegen, codegen.portable; sys.exit('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
