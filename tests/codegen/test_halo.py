"""Padded convolutions in, contractions that ask at no tap whether it exists out."""

import numpy as np
import pytest

from codegen.compile import plan_kernels
from codegen.halo import with_halos
from codegen.nest import Guard, walk
from ir import make
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import run_passes
from ir.types import F32, TensorType

CASES = [
    {"padding": 1},
    {"padding": 2, "dilation": 2},
    {"padding": 1, "stride": 2},
    {"padding": 3, "groups": 2},
]


def network(networks, size=9, channels=4, kernel=3, **options):
    """Two convolutions with a smooth activation between, and all gradients."""
    groups = options.get("groups", 1)
    shapes = [(2, channels, size, size)] + [(channels, channels // groups, kernel, kernel)] * 2
    inputs = [make.input_node(TensorType(F32, s), f"in{at}") for at, s in enumerate(shapes)]
    x, first, second = inputs
    hidden = make.apply("tanh", networks.convolution(x, first, **options))
    out = networks.convolution(hidden, second, **options)
    loss = make.sum(make.mul(out, out), (0, 1, 2, 3))
    return run_passes(Graph(tuple(inputs), (loss, *gradient(loss, inputs))))


def arrays_for(graph, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [0.3 * rng.standard_normal(node.shape).astype(dtype) for node in graph.inputs]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_rims_change_no_value(networks, options):
    graph = network(networks, **options)
    arrays = arrays_for(graph, np.float64)
    found = interpret(with_halos(graph), arrays)
    for one, other in zip(found, interpret(graph, arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_compiled(networks, assert_compiled, options):
    graph = network(networks, **options)
    assert_compiled(graph, arrays_for(graph), batch_inputs=(0,), ulps=512)


def test_no_tap_asks(networks):
    """At sizes where a rim is worth its memory."""
    graph = network(networks, size=16, channels=32, padding=1)
    kernels, _ = plan_kernels(graph, {}, (0,))
    contractions = [nest for nest in kernels.nests if nest.contracts]
    assert len(contractions) >= 5
    for nest in contractions:
        inside = walk([root.value for root in nest.roots])
        assert not any(isinstance(expr, Guard) for expr in inside), nest.name


def test_without_padding_nothing_changes(networks):
    x = make.input_node(TensorType(F32, (2, 4, 9, 9)), "x")
    weight = make.input_node(TensorType(F32, (4, 4, 3, 3)), "weight")
    graph = Graph((x, weight), (networks.convolution(x, weight),))
    assert len(with_halos(graph).nodes) == len(graph.nodes)
