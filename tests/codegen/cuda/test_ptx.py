"""Kernels of a LeNet step in, PTX that ptxas takes out: one of each way to share points.

All kernels of all benchmarks are compiled by ``benchmarks/cuda_kernels.py``: that takes a while.
"""

import re

import pytest

import engine
from codegen.cuda import emit_kernel
from codegen.cuda.inspect import ARCHITECTURES, find_ptxas, occupancy, ptx_of, resources_of
from codegen.cuda.plan import plan_cuda
from engine.nn import functional as F
from ir import make
from ir.errors import UnsupportedError
from ir.graph import Graph
from ir.passes import run_passes
from ir.types import BF16, BOOL, F16, F32, TensorType


def test_occupancy():
    assert occupancy(32, 0, 256, "sm_80") == 1.0
    assert occupancy(64, 0, 256, "sm_80") == 0.5
    assert occupancy(255, 0, 256, "sm_90") == 0.125
    assert occupancy(32, 100 * 1024, 256, "sm_80") == 0.125
    assert occupancy(32, 0, 256, "sm_120") == 1.0


@pytest.fixture
def ptx():
    """PTX of a kernel; the test is skipped where NVVM is not installed."""
    pytest.importorskip("numba_cuda", reason="PTX needs NVVM: pip install 'tracefuse[cuda]'")

    def compiled(kernel, architecture="sm_80"):
        try:
            return ptx_of(kernel, architecture)
        except UnsupportedError as error:
            pytest.skip(str(error))

    return compiled


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_kernels_keep_to_registers(networks, ptx, architecture):
    """No kernel spills or has arrays in local memory: one of each way, the widest."""
    step = networks.lenet(64)
    kernels = [emit_kernel(nest) for nest in plan_cuda(run_passes(step.graph), step.donated).nests]
    try:
        find_ptxas()
    except UnsupportedError as error:
        pytest.skip(str(error))
    ways = {}
    for kernel in kernels:
        way = re.sub(r"\d+", "", kernel.way)
        ways[way] = max(ways.get(way, kernel), kernel, key=lambda one: len(one.source))
    assert len(ways) >= 5
    for kernel in ways.values():
        try:
            found = resources_of(ptx(kernel, architecture), kernel.threads, architecture)
        except AssertionError as error:
            if "Unsupported .version" not in str(error):
                raise
            pytest.skip(f"ptxas is older than NVVM: {error}")
        assert found.spills == 0, kernel.name
        assert found.stack == 0, kernel.name
        assert found.occupancy > 0


def test_attention_keeps_to_registers(ptx):
    """The forward kernel and both backward ones, with a mask; rows shuffle."""

    @engine.jit
    def step(q, k, v, g):
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        (out * g).sum().backward()
        return out, q.grad, k.grad, v.grad

    tensors = [engine.zeros(4, 8, 520, 64) for _ in range(4)]
    for tensor in tensors[:3]:
        tensor.requires_grad_(True)
    nests = plan_cuda(run_passes(step.draft(*tensors).graph), {}).nests
    kernels = [emit_kernel(nest) for nest in nests]
    found = [kernel for kernel in kernels if "of an attention" in kernel.way]
    assert len(found) == 3
    texts = [ptx(kernel) for kernel in found]
    assert "shfl.sync.bfly" in texts[0]
    try:
        taken = [
            resources_of(*pair) for pair in zip(texts, [k.threads for k in found], strict=True)
        ]
    except UnsupportedError as error:
        pytest.skip(str(error))
    assert all((one.spills, one.stack) == (0, 0) for one in taken)


def test_neighbours_are_loaded_four_at_a_time(ptx):
    """16 bytes of floats, four bytes of truth values, in one instruction each."""
    x = make.input_node(TensorType(F32, (64, 96)), "x")
    where = make.input_node(TensorType(BOOL, (64, 96)), "where")
    graph = Graph((x, where), (make.apply("select", where, make.mul(x, x), x),))
    (nest,) = plan_cuda(graph, {}).nests
    text = ptx(emit_kernel(nest))
    assert re.findall(r"ld\.global\.v4\.[fb]32", text)
    assert re.findall(r"ld\.global\.(?:v4\.[su]8|[bu]32)", text)
    assert re.findall(r"st\.global\.v4\.[fb]32", text)
    assert not re.findall(r"(?:ld|st)\.global\.f32", text)


@pytest.mark.parametrize(("op", "instruction"), [("floor", "cvt.rmi"), ("ceil", "cvt.rpi")])
def test_whole_numbers_are_one_instruction(ptx, op, instruction):
    """Numba's CUDA target knows NumPy's functions of single numbers only in part."""
    x = make.input_node(TensorType(F32, (64, 96)), "x")
    (nest,) = plan_cuda(Graph((x,), (make.apply(op, x),)), {}).nests
    assert instruction in ptx(emit_kernel(nest))


def test_products_go_through_shared_memory(ptx):
    """Both operands four at a time; one multiplication and addition in one instruction."""
    a, b = (make.input_node(TensorType(F32, (4096, 256)), name) for name in "ab")
    (nest,) = plan_cuda(Graph((a, b), (make.dot(a, b, ((1,), (1,))),)), {}).nests
    kernel = emit_kernel(nest)
    assert kernel.way.startswith("a block for every tile of 1")
    text = ptx(kernel)
    assert "ld.shared.v4.f32" in text
    assert text.count("fma.rn.f32") >= 32
    assert "div.s64" not in text
    assert "rem.s64" not in text


@pytest.mark.parametrize(
    ("precision", "shape", "rounded"),
    [("tf32", "m16n8k8", "cvt.rna.tf32.f32"), ("bf16", "m16n8k16", "cvt.rn.bf16x2.f32")],
)
def test_tensor_cores_multiply(ptx, precision, shape, rounded):
    """For who asks: factors are rounded, and a warp multiplies in one instruction."""
    a, b = (make.input_node(TensorType(F32, (512, 256)), name) for name in "ab")
    (nest,) = plan_cuda(Graph((a, b), (make.dot(a, b, ((1,), (1,))),)), {}).nests
    text = ptx(emit_kernel(nest, precision=precision))
    assert f"mma.sync.aligned.{shape}.row.col.f32.{precision}.{precision}.f32" in text
    assert rounded in text
    assert "mma.sync" not in ptx(emit_kernel(nest))


@pytest.mark.parametrize(
    ("dtype", "word", "architecture"), [(BF16, "bf16", "sm_80"), (F16, "f16", "sm_120")]
)
def test_halves_multiply_as_they_are(ptx, dtype, word, architecture):
    """Two of them in a word; results are rounded once, and nothing spills."""
    a, b = (make.input_node(TensorType(dtype, (1024, 256)), name) for name in "ab")
    dot = make.dot(*(make.apply("cast", x, dtype=F32) for x in (a, b)), ((1,), (1,)))
    (nest,) = plan_cuda(Graph((a, b), (make.apply("cast", dot, dtype=dtype),)), {}).nests
    kernel = emit_kernel(nest)
    text = ptx(kernel, architecture)
    assert f"mma.sync.aligned.m16n8k16.row.col.f32.{word}.{word}.f32" in text
    assert f"cvt.rn.{word}x2.f32" in text
    assert f"cvt.rn.{word}.f32" in text
    assert "multiply_" not in emit_kernel(nest, precision="exact").source
    try:
        found = resources_of(text, kernel.threads, architecture)
    except UnsupportedError as error:
        pytest.skip(str(error))
    assert (found.spills, found.stack) == (0, 0)


def test_rows_shuffle(ptx):
    """A softmax is one kernel, without shared memory where a warp has a row."""
    x = make.input_node(TensorType(F32, (512, 100)), "x")
    top = make.broadcast(make.max(x, (1,)), x.shape, (0,))
    powers = make.exp(make.sub(x, top))
    total = make.broadcast(make.sum(powers, (1,)), x.shape, (0,))
    (nest,) = plan_cuda(Graph((x,), (make.div(powers, total),)), {}).nests
    text = ptx(emit_kernel(nest))
    assert text.count("shfl.sync.bfly") == 10
    assert "ld.shared" not in text
    assert "bar.sync" not in text
