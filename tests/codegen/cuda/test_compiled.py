"""Kernels in, whether two of them are one out."""

from codegen.cuda import emit_kernel
from codegen.cuda.compiled import digest_of
from codegen.cuda.plan import plan_cuda
from ir import make
from ir.graph import Graph
from ir.types import F32, F64, TensorType


def kernel(name, shape=(3, 70), dtype=F32, op="exp"):
    x = make.input_node(TensorType(dtype, shape), name)
    value = make.sum(make.apply(op, x), (1,))
    (nest,) = plan_cuda(Graph((x,), (value,), (name,), (f"{name}_sum",)), {}).nests
    return emit_kernel(nest)


def test_names_make_no_difference_and_everything_else_does():
    one, other = kernel("x"), kernel("weight")
    assert one.source != other.source
    assert digest_of(one) == digest_of(other)
    different = [kernel("x", (3, 71)), kernel("x", dtype=F64), kernel("x", op="tanh")]
    digests = {digest_of(one), *map(digest_of, different)}
    assert len(digests) == 4
