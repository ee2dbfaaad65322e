"""A graph in, the same with short orders counted out.

NumPy sorts long rows between kernels. What is short is not worth a call: how many elements come
before each is a sum like any other, which fuses and runs on every target. Graphics cards count
whatever the length, as a loop's turns do: a call would stop them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ir import make
from ir.graph import Graph, Node, rebuild, with_inputs
from ir.types import I64

ROW = 32  # elements of an axis up to which counting is faster, however many rows there are
COMPARED = 1 << 18  # comparisons that take as long as a call


def counted_order(graph: Graph, kept: Callable[[Node], bool] = lambda node: False) -> Graph:
    """``graph`` where every ``argsort`` that is not ``kept`` counts places."""
    if not any(node.op.name == "argsort" for node in graph.nodes):
        return graph

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = with_inputs(node, inputs)
        if node.op.name != "argsort" or kept(new):
            return new
        found = _counted(new)
        return Node(found.op, found.inputs, found.attrs, found.type, node.loc)

    return rebuild(graph, replace)


def is_long(node: Node) -> bool:
    """Whether NumPy orders the elements sooner; symbolic sizes count as long."""
    (x,), axis = node.inputs, node.attrs["axis"]
    size = x.shape[axis]
    if not isinstance(size, int):
        return True
    if not all(isinstance(other, int) for other in x.shape):
        return size > ROW
    return size > ROW and prod(map(int, x.shape)) * size >= COMPARED


def _counted(node: Node) -> Node:
    """Each place is taken once, so what is added up there is the one position that belongs."""
    (x,), axis = node.inputs, node.attrs["axis"]
    size, start, stop = x.shape[axis], node.attrs["start"], node.attrs["stop"]
    places = make.rank(x, axis, node.attrs["descending"])
    order = make.put_along(make.iota(x.shape, axis, I64), places, axis, size)
    if (start, stop) == (0, size):
        return order
    low, high = [0] * x.type.rank, list(x.shape)
    low[axis], high[axis] = start, stop
    return make.slice(order, low, high, (1,) * x.type.rank)
