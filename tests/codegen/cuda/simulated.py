"""Graphs in, their CUDA kernels run by Numba's simulator and held to the interpreter out.

Collected by ``test_simulator.py`` alone, in a process with NUMBA_ENABLE_CUDASIM=1: the simulator is
chosen when Numba is imported. Its threads are Python's, so blocks are small here.
"""

import importlib.util
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import engine
from codegen.cuda import apart, stages, tile, ways
from codegen.cuda.product import product_of
from codegen.cuda.run import CudaProgram, compiled
from codegen.cuda.source import emit_kernel
from codegen.cuda.ways import Tiles
from engine import nn
from engine.nn import functional as F
from ir import make
from ir.dims import symbol
from ir.graph import Graph, build
from ir.interpret import interpret
from ir.types import F32, I64, TensorType


def beside(name, folders=1):
    path = Path(__file__).resolve().parents[folders] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.setswitchinterval(1e-4)  # the simulator waits for its threads by asking them
ops, nets, races = beside("test_ops"), beside("networks"), beside("races", 0)
BLOCK, WARP = 4, 2
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of wrapping integers


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A watch on the shared memory of every kernel that a test runs."""
    watch = races.install(monkeypatch)
    yield watch
    assert not watch.found


@pytest.fixture
def short(monkeypatch):
    """Stages so short that small networks go through them."""
    monkeypatch.setattr(apart, "LONG", 60)
    monkeypatch.setattr(stages, "LONG", 60)
    monkeypatch.setattr(stages, "PART", 20)
    monkeypatch.setattr(stages, "SHORTEST", 24)
    monkeypatch.setattr(stages, "BLOCKS", 6)


def program(graph, donated=None):
    return CudaProgram(graph, donated, block=BLOCK, blocks=2, warp=WARP)


def agree(graph, arrays, exact=False, rtol=2e-6):
    with np.errstate(all="ignore"):
        wanted = interpret(graph, arrays)
        found = program(graph).run([np.array(a) for a in arrays])
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        if exact:
            np.testing.assert_array_equal(got, want)
        else:
            scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30) if want.size else 1
            np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale)


def alone(nest, *given, way_of=ways.way_of):
    """A thread for every point, wherever one can compute it all."""
    return way_of(nest, *given) if any(root.within for root in nest.roots) else None


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize(("op", "case"), ops.CASES)
def test_case(monkeypatch, op, case, shared):
    """Every op, reductions and products by one thread and by several."""
    if shared:
        monkeypatch.setattr(ways, "LONG", 2)
        monkeypatch.setattr(ways, "TALL", 2)
        monkeypatch.setattr(ways, "PUSHED", 1)
        monkeypatch.setattr(ways, "PUSH_BLOCKS", 2)
        monkeypatch.setattr(tile, "FEWEST", 1)
        monkeypatch.setattr(tile, "SMALLEST", 1)
    else:
        monkeypatch.setattr(ways, "way_of", alone)
    nodes = ops.nodes_of(op, case)
    rng = np.random.default_rng(len(op.name))
    arrays = [ops.random_array(rng, n.dtype, n.shape, case.low, case.high) for n in nodes]
    graph = Graph(tuple(nodes), (build(op, nodes, ops.attributes(op, case, "f32")),))
    agree(graph, arrays, exact=op.name not in ops.ROUNDED)


@pytest.mark.parametrize("kind", ["sum", "max", "argmax", "argmin"])
def test_a_block_for_a_row(kind):
    """Rows longer than a block, with infinities and NaNs in them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 131)).astype(np.float32)
    x[0] = -np.inf
    x[1, 77] = x[1, 100] = np.inf
    x[2, [40, 90]] = np.nan
    x[3] = 1.0
    if kind == "sum":
        x = np.where(np.isfinite(x), x, 1.0).astype(np.float32)
    node = make.input_node(TensorType(F32, x.shape), "x")
    attrs = {"axes": (1,), **({"dtype": I64} if kind.startswith("arg") else {})}
    graph = Graph((node,), (make.apply(kind, node, **attrs),))
    assert "threads for every point" in program(graph).sources[0].way
    agree(graph, [x], exact=kind != "sum")


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 3, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(27, 8), nn.ReLU(), nn.Linear(8, 4),
    )  # fmt: skip


def residual():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Linear(3, 4)

        def forward(self, x):
            x = F.silu(self.norm(self.stem(x)))
            return self.head((x + F.silu(self.conv(x))).mean((2, 3)))

    return Net()


def transformer():
    layer = nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.layers(x).mean(1))

    return Net()


def lstm():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 4)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    return Net()


def dropping():
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.4), nn.Linear(16, 4))


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 80), nn.ReLU(), nn.Linear(80, 4)), (5, 6)),
    "dropout": (dropping, (5, 6)),
    "lenet": (lenet, (2, 1, 12, 12)),
    "residual": (residual, (2, 1, 6, 6)),
    "transformer": (transformer, (2, 5, 8)),
    "lstm": (lstm, (3, 5, 4)),
}


def drafted(name, dtype=engine.float32):
    """A network's training step, traced, and the arrays that it starts from."""
    engine.manual_seed(0)
    net, shape = NETWORKS[name][0](), NETWORKS[name][1]
    x, y = engine.randn(*shape).to(dtype), engine.arange(shape[0]) % 4
    net.to(dtype)
    rule = {"lstm": partial(engine.optim.Adam, lr=0.01)}
    plain = partial(engine.optim.SGD, lr=0.1, momentum=0.9)
    optimizer = rule.get(name, plain)(net.parameters())

    @engine.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    draft = step.draft(x, y)
    arrays = [
        np.array(s.cell.array) if s.cell is not None else np.zeros((), s.node.dtype)
        for s in draft.sources
    ]
    for at, source_ in enumerate(draft.sources):
        if source_.cell is None:
            arrays[at][()] = source_.number()
    return draft, arrays


def interpreted(draft, arrays):
    """One step in the interpreter; the state in ``arrays`` is the next one's."""
    outputs = interpret(draft.graph, arrays)
    for at, into in draft.donated.items():
        arrays[into] = np.array(outputs[at])
    return outputs


# A norm takes the mean away, and with it all that a bias before it adds: its gradient is zero, and
# what either side finds is rounding (4e-8 here, as the float64 reference shows below).
NOTHING = {"residual": ["stem_bias_momentum_buffer"]}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_three_training_steps(short, name):
    """Three steps, the state fed back: losses and state are the interpreter's to 1e-5."""
    draft, arrays = drafted(name)
    steps = program(draft.graph, draft.donated)
    wanted = [array.copy() for array in arrays]
    for _ in range(3):
        outputs = interpreted(draft, wanted)
        found = steps.run(arrays)
        np.testing.assert_allclose(found[0], outputs[0], rtol=1e-5)
    assert draft.donated
    largest = max(np.abs(wanted[at]).max(initial=0) for at in draft.donated.values())
    for at in draft.donated.values():
        nothing = draft.graph.input_names[at] in NOTHING.get(name, [])
        scale = largest if nothing else np.abs(wanted[at]).max(initial=1e-30)
        np.testing.assert_allclose(arrays[at], wanted[at], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("name", list(NOTHING))
def test_what_is_nothing_but_rounding(name):
    """In float64 these gradients are zero, so that no relative bound means anything for them."""
    for dtype, most in ((engine.float64, 1e-15), (engine.float32, 1e-6)):
        draft, arrays = drafted(name, dtype)
        for _ in range(3):
            interpreted(draft, arrays)
        by_name = dict(zip(draft.graph.input_names, arrays, strict=True))
        for one in NOTHING[name]:
            assert np.abs(by_name[one]).max() < most


def planted(kernel, which):
    """The kernel without one of its barriers."""
    parts = kernel.source.split("cuda.syncthreads()")
    before, after = parts[: which + 1], parts[which + 1 :]
    text = "cuda.syncthreads()".join(before) + "pass" + "cuda.syncthreads()".join(after)
    return compiled(replace(kernel, source=text))


def reduction(kind, shape, axis):
    x = make.input_node(TensorType(F32, shape), "x")
    attrs = {"axes": (axis,), **({"dtype": I64} if kind.startswith("arg") else {})}
    return Graph((x,), (make.apply(kind, x, **attrs),))


def product(rows, columns, depth):
    sizes = {"a": rows, "b": columns}
    a, b = (make.input_node(TensorType(F32, (n, depth)), name) for name, n in sizes.items())
    return Graph((a, b), (make.dot(a, b, ((1,), (1,))),))


def places(values, rows, columns):
    x = make.input_node(TensorType(F32, (values, columns)), "x")
    at = make.input_node(TensorType(I64, (values,)), "at")
    return Graph((x, at), (make.apply("put_add", x, at, axis=0, extent=rows),))


SHARING = {
    "a block for a row": lambda: reduction("sum", (3, 1100), 1),
    "its best place": lambda: reduction("argmax", (3, 1100), 1),
    "columns": lambda: reduction("max", (40, 5), 0),
    "sums at places": lambda: places(70, 10, 3),
    "tiles": lambda: product(6, 5, 9),
    "wide tiles": lambda: product(16, 8, 9),
}


@pytest.mark.parametrize("name", list(SHARING))
def test_a_missing_barrier_is_found(small, name):
    """Take any one barrier out of a kernel, and there is a race."""
    every_barrier_matters(small, SHARING[name]())


def every_barrier_matters(small, graph, at=-1):
    """Without any one of the barriers of kernel ``at`` there is a race; with all there is none."""
    arrays = [np.ones(node.shape, node.dtype) for node in graph.inputs]
    whole = program(graph)
    kernel = whole.sources[at]
    barriers = kernel.source.count("cuda.syncthreads()")
    assert barriers > 1
    whole.run(arrays)
    assert small.accesses
    assert not small.found
    for which in range(barriers):
        whole._compiled[at] = planted(kernel, which)
        with suppress(IndexError):  # of a place that another thread had not written yet
            whole.run(arrays)
        assert small.found, f"{kernel.way}: nothing without barrier {which}"
        small.settle()


def open_mlp():
    step = nets.mlp(symbol("N"), (6, 9, 4))
    return step.graph, step.donated, step.arrays


def open_convolution():
    """A convolution, its pooled sum, and the gradients of both operands."""
    x = make.input_node(TensorType(F32, (symbol("N"), 2, 8, 8)), "x")
    weight = make.input_node(TensorType(F32, (4, 2, 3, 3)), "weight")
    pooled = nets.max_pool(nets.relu(nets.convolution(x, weight, padding=1)))
    loss = make.sum(pooled, (0, 1, 2, 3))
    graph = Graph((x, weight), (loss, *nets.slopes(loss, [x, weight])))
    rng = np.random.default_rng(0)

    def arrays(batch):
        shapes = ((batch, 2, 8, 8), weight.shape)
        return [rng.normal(size=shape).astype(np.float32) for shape in shapes]

    return graph, {}, arrays


@pytest.mark.parametrize("make_graph", [open_mlp, open_convolution])
def test_open_sizes(make_graph):
    """One program for every batch: one that no tile divides, and a batch of one."""
    graph, donated, arrays = make_graph()
    one = program(graph, donated)
    assert any(k.way.startswith("a block for every tile") and "N" in k.grid for k in one.sources)
    for batch in (3, 1):
        given = arrays(batch)
        wanted = interpret(graph, [array.copy() for array in given])
        for got, want in zip(one.run(given), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chosen", tile.TILES[-1:], ids=lambda tile: f"{tile.rows}x{tile.columns}")
def test_tiles_of_a_device(chosen):
    """Tiles as large as a device gets them, with edges; sums in another order than the host's."""
    graph = product(chosen.rows + 3, chosen.columns + 1, 21)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-8, 8, node.shape).astype(np.float32) for node in graph.inputs]
    whole = program(graph)
    (nest,) = whole.kernels.nests
    whole.sources[0] = emit_kernel(nest, way=Tiles(product_of(nest), chosen))
    whole._compiled[0] = compiled(whole.sources[0])
    np.testing.assert_array_equal(whole.run(arrays)[0], arrays[0] @ arrays[1].T)
