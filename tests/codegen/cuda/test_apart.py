"""Nests over few long rows in, one kernel for each reduction and one for all elements out."""

from codegen.cuda.apart import rows_apart
from codegen.nest import Reduce, walk
from codegen.nests import build_nests
from ir import make
from ir.graph import Graph
from ir.types import F32, TensorType


def softmax(rows, columns):
    """Along the middle axis' rows: the first and last axis are reduced."""
    x = make.input_node(TensorType(F32, (16, rows, columns)), "x")
    top = make.broadcast(make.max(x, (0, 2)), x.shape, (1,))
    powers = make.exp(make.sub(x, top))
    total = make.broadcast(make.sum(powers, (0, 2)), x.shape, (1,))
    graph = Graph((x,), (make.div(powers, total),))
    (nest,) = build_nests(graph, {}, (), rows=True, orders=False).nests
    return nest


def reduces(nest):
    return [e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]


def test_rows_that_give_every_block_work_stay_together():
    nest = softmax(256, 512)
    assert rows_apart(nest) == [nest]


def test_few_long_rows_are_taken_apart():
    nest = softmax(8, 512)
    top, total, last = rows_apart(nest)
    assert [len(reduces(one)) for one in (top, total, last)] == [1, 1, 0]
    assert [one.roots[0].buffer.shape for one in (top, total)] == [(8,), (8,)]
    assert {top.roots[0].buffer, total.roots[0].buffer} < set(last.buffers)
    assert [axis.extent for axis in last.axes] == [16, 8, 512]
    assert not any(root.within for one in (top, total, last) for root in one.roots)
    assert [root.buffer for root in last.roots] == [root.buffer for root in nest.roots]
