"""A graph in, an equal graph out whose backward passes make attention's weights again.

Attention's scores and weights are far larger than all else in it: a number for every pair of a
query and a key. What a forward pass would keep of them for the backward pass is not kept. There the
scores are multiplied again, and the weights follow from them and from what the forward pass found
out about each row, its maximum and its sum: nothing is reduced twice. The kernels around them then
take turns over one head at a time (heads.py), and no such array is ever whole.

Attention is recognised by what it is: a product with a batch, whatever is made of it element by
element and row by row, and a second product over the rows. Who wrote it does not matter.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import prod

from codegen.nest import LANES
from ir import make
from ir.dims import Size
from ir.graph import Graph, Node, located, toposort, with_inputs

LARGE = 256 * 1024  # bytes of all scores: below, they stay near a core anyway
SHORTEST = 16  # queries and keys
FEWEST = 4  # heads, of all sequences together: threads share them


def with_weights_again(graph: Graph) -> Graph:
    """``graph``; what comes after an attention reads copies of its weights, made when needed."""
    found = attentions(graph)
    return _Again(graph, found).run() if found else graph


def prefers_rows(graph: Graph) -> bool:
    """Whether the batch should stay out of the vector lanes: heads could not take turns there."""
    images = any(node.op.name in ("window", "fold") for node in graph.nodes)
    return not images and bool(attentions(graph))


def attentions(graph: Graph) -> dict[Node, int]:
    """The nodes with a value for every pair of a query and a key, each with its attention's number:
    what leads to the weights, and what the backward pass makes with them."""
    scores: dict[Node, Node] = {}  # a value for each pair: the product that it is made of
    reduced: list[Node] = []  # products whose rows something goes over, as a softmax does
    summed: list[Node] = []  # products whose rows are the factors of another product's sums
    joined: dict[Node, Node] = {}  # products that something is made of both of, or that are equal
    equal: dict[Hashable, Node] = {}
    for node in graph.nodes:
        made_of = [scores[x] for x in node.inputs if x in scores]
        if is_scores(node):
            scores[node] = node
            _join(joined, equal.setdefault(node.key, node), node)
        elif made_of and node.op.family == "elementwise":
            scores[node] = made_of[0]
            for other in made_of[1:]:
                _join(joined, made_of[0], other)
        elif made_of and node.op.family == "reduction" and node.attrs["axes"] == (node.type.rank,):
            reduced.append(made_of[0])
        summed += [scores[x] for x in summed_by_row(node) if x in scores]
    of_softmax = {_root(joined, source) for source in reduced}
    ends = [root for root in (_root(joined, source) for source in summed) if root in of_softmax]
    numbers = {root: at for at, root in enumerate(dict.fromkeys(ends))}
    roots = {node: _root(joined, source) for node, source in scores.items()}
    return _with_masks({node: numbers[root] for node, root in roots.items() if root in numbers})


def _root(joined: Mapping[Node, Node], node: Node) -> Node:
    """The product that stands for all that are joined with ``node``."""
    while node in joined:
        node = joined[node]
    return node


def _join(joined: dict[Node, Node], one: Node, other: Node) -> None:
    first, second = _root(joined, one), _root(joined, other)
    if first is not second:
        joined[second] = first


def _with_masks(found: dict[Node, int]) -> dict[Node, int]:
    """The same with what is made of no scores and goes into them, such as a dropout's choice."""
    stack = list(found.items())
    while stack:
        node, number = stack.pop()
        for x in node.inputs if node.op.name != "dot" else ():
            if x not in found and x.shape == node.shape and _is_light(x):
                found[x] = number
                stack.append((x, number))
    return found


def _is_light(node: Node) -> bool:
    return node.op.family == "elementwise" or node.op.name == "random_bits"


def is_scores(node: Node) -> bool:
    """Whether it is a large product with a batch, whose other axes are one of each operand, and
    whose rows are no shorter than the sums in them."""
    if node.op.name != "dot" or not node.attrs["batch"][0]:
        return False
    rank, contract = len(node.attrs["batch"][0]) + 2, node.attrs["contract"][0]
    if node.type.rank != rank or not is_large(node.shape, node.dtype.itemsize):
        return False
    length = prod(node.inputs[0].shape[axis] for axis in contract)
    return isinstance(length, int) and length <= node.shape[-1]


def is_large(shape: Sequence[Size], itemsize: int) -> bool:
    """Whether arrays [..., queries, keys], with heads before them, are worth the trouble."""
    *lead, queries, keys = shape
    if not isinstance(queries, int) or not isinstance(keys, int):
        return False
    heads = prod(size if isinstance(size, int) else 2 * LANES for size in lead)
    long = queries >= SHORTEST and keys >= SHORTEST
    return long and heads >= FEWEST and heads * queries * keys * itemsize >= LARGE


def summed_by_row(node: Node) -> list[Node]:
    """The operands over whose last axis a product with a batch sums."""
    if node.op.name != "dot" or not node.attrs["batch"][0]:
        return []
    contract = node.attrs["contract"]
    return [x for x, axes in zip(node.inputs, contract, strict=True) if axes == (x.type.rank - 1,)]


class _Again:
    """Rebuilds the graph in its order, copies just before the first node that reads them."""

    def __init__(self, graph: Graph, found: Mapping[Node, int]) -> None:
        self.graph, self.found = graph, found
        self.new: dict[Node, Node] = {}
        self.copies: dict[Node, Node] = {}
        self.order: list[Node] = []
        self.after: dict[Node, int] = {}  # the attentions, as bits, that a node comes after

    def run(self) -> Graph:
        for node in self.graph.nodes:
            before = 0
            for source in node.inputs:
                before |= self.after[source]
            inputs = [self._input(source, before) for source in node.inputs]
            self.new[node] = made = with_inputs(node, inputs)
            self.order.append(made)
            for x in summed_by_row(node):
                before |= 1 << self.found[x] if x in self.found else 0
            self.after[node] = before
        if not self.copies:
            return self.graph
        graph = self.graph
        inputs, outputs = ([self.new[n] for n in part] for part in (graph.inputs, graph.outputs))
        needed = {*inputs, *toposort(outputs)}
        order = [node for node in self.order if node in needed]
        names = graph.input_names, graph.output_names
        return Graph(tuple(inputs), tuple(outputs), *names, _order=order)

    def _input(self, source: Node, before: int) -> Node:
        """What a node that comes after the attentions ``before`` reads in place of ``source``."""
        number = self.found.get(source)
        if number is None or not before >> number & 1 or self.after[source] >> number & 1:
            return self.new[source]
        return self._copy(source)

    def _copy(self, node: Node) -> Node:
        """The same value, of the same inputs and the same findings about rows."""
        if node not in self.found:
            return self.new[node]
        if node not in self.copies:
            self.copies[node] = self._made(node)
            self.order.append(self.copies[node])
        return self.copies[node]

    def _made(self, node: Node) -> Node:
        rows = softmax_of(node)
        if rows is not None:
            x, start, total = self._copy(rows[0]), *(self.new[row] for row in rows[1:])
            with located(node.loc):
                large = make.log(total)
                level = make.add(start, large)
                spread = make.broadcast(level, node.shape, node.inputs[1].attrs["axes"])
                shifted = make.sub(x, spread)
                self.order += [large, level, spread, shifted]
                return make.exp(shifted)
        light = node.op.name != "dot"
        inputs = [self._copy(x) if light else self.new[x] for x in node.inputs]
        return Node(node.op, tuple(inputs), node.attrs, node.type, node.loc)


def softmax_of(node: Node) -> tuple[Node, Node, Node] | None:
    """``x``, the maximum of its rows and the sum of their exponentials above that, where ``node``
    is their quotient: ``exp(x - (start + log(total)))`` is the same, and takes one number a row."""
    if node.op.name != "div":
        return None
    grown, total = node.inputs
    if grown.op.name != "exp" or grown.inputs[0].op.name != "sub" or total.op.name != "broadcast":
        return None
    x, start = grown.inputs[0].inputs
    if start.op.name != "broadcast" or start.attrs["axes"] != total.attrs["axes"]:
        return None
    (least,), (whole,) = start.inputs, total.inputs
    known = (least, *least.inputs) if least.op.name == "select" else (least,)
    return (x, least, whole) if any(row.op.name == "max" for row in known) else None
