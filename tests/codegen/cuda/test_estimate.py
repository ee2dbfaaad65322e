"""Kernels in, the least bytes, operations and time of a GPU for them out."""

import pytest

from codegen.cuda.estimate import GPUS, estimates, least_bytes, step_text
from codegen.cuda.inspect import ARCHITECTURES
from codegen.cuda.plan import plan_cuda
from ir import make
from ir.graph import Graph
from ir.types import F32, TensorType


def product(rows, inner, columns):
    x = make.input_node(TensorType(F32, (rows, inner)), "x")
    w = make.input_node(TensorType(F32, (inner, columns)), "w")
    return plan_cuda(Graph((x, w), (make.dot(x, w, ((1,), (0,))),)), {})


def test_a_product_is_bound_by_what_its_sizes_say():
    gpu = GPUS["h100"]
    large, small = product(1024, 1024, 1024), product(4096, 8, 8)
    for kernels, bound in ((large, "compute"), (small, "memory")):
        (one,) = [e for e in estimates(kernels, {}, gpu) if "dot" in e.kernel]
        assert one.bound == bound
        compute, memory = one.work.flops / gpu.f32, one.work.bytes / gpu.bandwidth
        assert one.seconds == pytest.approx(max(compute, memory))
    assert one.work.flops == 2 * 4096 * 8 * 8
    assert one.work.bytes == 4 * (2 * 4096 * 8 + 8 * 8)
    assert least_bytes(small, {}) == one.work.bytes


def test_state_is_read_and_written():
    """An update in place reads its state and writes it: twice the bytes, and the gradient once."""
    w, g = (make.input_node(TensorType(F32, (100,)), name) for name in "wg")
    kernels = plan_cuda(Graph((w, g), (make.sub(w, g),)), {0: 0})
    assert least_bytes(kernels, {}) == 3 * 400
    (one,) = estimates(kernels, {}, GPUS["a100"])
    assert (one.bound, one.work.bytes, one.launches) == ("memory", 1200, 1)
    text = step_text([one], least_bytes(kernels, {}), GPUS["a100"])
    assert "1 kernels, 1 launches" in text
    assert "1.00 times the least" in text
    assert "data sheet" in text


@pytest.mark.parametrize("name", GPUS)
def test_gpus_have_an_architecture_and_a_source(name):
    gpu = GPUS[name]
    assert gpu.architecture in ARCHITECTURES
    assert "NVIDIA" in gpu.source
    assert gpu.f64 < gpu.f32 <= gpu.tf32
