"""A source of randomness in, a random training-like graph with its arrays out.

Values are small whole numbers and every op is exact on them in float64, so a wrong element cannot
hide behind rounding. Batches are ragged on purpose; states are donated; half the graphs carry
the gradient of their loss and an update, the other half only go forward.
"""

from dataclasses import dataclass
from random import Random

import numpy as np

from ir import make
from ir.dims import Dim, Size, evaluate, symbol
from ir.grad import gradient
from ir.graph import Graph, Node
from ir.passes import canonicalise_nodes
from ir.types import BOOL, F32, F64, I64, U32, DType, TensorType

BATCHES = (1, 2, 5, 8, 15, 16, 17, 33, 50, 64)
WIDTHS = (1, 2, 3, 5, 8, 16, 17, 19, 33)
BINARY = ("add", "sub", "maximum", "minimum", "mul")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


@dataclass
class Drawn:
    """A graph, arrays for its inputs, and how it is to be compiled."""

    graph: Graph
    arrays: list[np.ndarray]
    donated: dict[int, int]
    batch_inputs: tuple[int, ...]
    symbolic: bool


class Source:
    """Random choices, and the inputs that they needed so far."""

    def __init__(self, rng: Random, dtype: DType) -> None:
        self.rng, self.dtype = rng, dtype
        self.count = rng.choice(BATCHES)
        self.symbolic = rng.random() < 0.3
        self.batch: Size = symbol("N") if self.symbolic else self.count
        self.inputs: list[Node] = []
        self.arrays: list[np.ndarray] = []
        self.batched: list[int] = []
        self.weights: list[Node] = []

    def coin(self, share: float = 0.5) -> bool:
        return self.rng.random() < share

    def numbers(self, shape: tuple[int, ...], low: int = -2, high: int = 2) -> np.ndarray:
        seed = self.rng.getrandbits(32)
        return np.random.default_rng(seed).integers(low, high + 1, shape)

    def input(self, shape: tuple[Size, ...], dtype: DType | None = None, high: int = 2) -> Node:
        dtype = dtype or self.dtype
        node = make.input_node(TensorType(dtype, shape), f"x{len(self.inputs)}")
        sizes = tuple(evaluate(size, {"N": self.count}) for size in shape)
        low = 0 if dtype.kind in "ub" else -high
        self.arrays.append(np.asarray(self.numbers(sizes, low, high)).astype(dtype))
        self.inputs.append(node)
        if shape and shape[0] == self.batch and (self.symbolic or self.coin(0.8)):
            self.batched.append(len(self.inputs) - 1)
        return node

    def weight(self, shape: tuple[Size, ...]) -> Node:
        """An input that may be trained; sometimes one that is there already."""
        same = [node for node in self.weights if node.shape == shape]
        if same and self.coin(0.3):
            return self.rng.choice(same)
        self.weights.append(self.input(shape))
        return self.weights[-1]


def draw(rng: Random) -> Drawn:
    """One random graph."""
    source = Source(rng, rng.choice((F64, F64, F32)))
    if source.coin():
        shape: tuple[Size, ...] = (source.batch, rng.choice(WIDTHS))
    else:
        shape = (source.batch, rng.randint(1, 4), rng.randint(3, 11), rng.randint(3, 11))
    pool = [source.input(shape)]
    for _ in range(rng.randint(2, 8)):
        x = pool[-1] if source.coin(0.8) else rng.choice(pool)
        step = rng.choice(STEPS)
        new = step(source, x, pool)
        if len(new.shape) <= 5 and _elements(new, source) < 40000:
            pool.append(new)
    return _finished(source, pool)


def _elements(node: Node, source: Source) -> int:
    return evaluate(node.type.numel, {"N": source.count})


def _finished(source: Source, pool: list[Node]) -> Drawn:
    outputs: list[Node] = []
    donated: dict[int, int] = {}
    rng = source.rng
    if source.weights and source.coin(0.7):
        loss = pool[-1]
        if loss.dtype != source.dtype:
            loss = make.cast(loss, source.dtype)
        loss = make.sum(loss, tuple(range(loss.type.rank)))
        loss = canonicalise_nodes([loss])[loss]
        outputs.append(loss)
        for weight, slope in zip(source.weights, gradient(loss, source.weights), strict=True):
            at = source.inputs.index(weight)
            new = make.sub(weight, make.mul(slope, make.full(0.5, slope.dtype, slope.shape)))
            if source.coin(0.8):
                donated[len(outputs)] = at
            outputs.append(new)
    for _ in range(rng.randint(0 if outputs else 1, 3)):
        outputs.append(rng.choice(pool))
    for at, node in enumerate(source.inputs):  # a state whose new value has nothing to do with it
        same = [o for o, out in enumerate(outputs) if out.type == node.type and o not in donated]
        if same and at not in donated.values() and source.coin(0.3):
            donated[rng.choice(same)] = at
    return Drawn(
        Graph(tuple(source.inputs), tuple(outputs)),
        source.arrays,
        donated,
        tuple(source.batched),
        source.symbolic,
    )


# -- steps ------------------------------------------------------------------------------------


def _float(source: Source, x: Node) -> Node:
    return make.cast(x, source.dtype)


def _small(source: Source, x: Node) -> Node:
    """Keep values within what later products can take."""
    low, high = (make.full(value, x.dtype, x.shape) for value in (-3.0, 3.0))
    return make.apply("minimum", make.apply("maximum", x, low), high)


def unary(source: Source, x: Node, pool: list[Node]) -> Node:
    name = source.rng.choice(("neg", "abs", "sign", "relu", "relu", "floor"))
    return make.apply(name, _float(source, x))


def binary(source: Source, x: Node, pool: list[Node]) -> Node:
    x = _float(source, x)
    same = [node for node in pool if node.type == x.type]
    y = source.rng.choice(same) if same and source.coin() else _broadcast_weight(source, x)
    name = source.rng.choice(BINARY)
    out = make.apply(name, *((x, y) if source.coin() else (y, x)))
    return _small(source, out) if name == "mul" else out


def _broadcast_weight(source: Source, x: Node) -> Node:
    axes = [a for a, size in enumerate(x.shape) if source.coin(0.4) and size != source.batch]
    shape = tuple(1 if source.coin(0.2) else x.shape[a] for a in axes)
    return make.broadcast(source.weight(shape), x.shape, axes)


def compare(source: Source, x: Node, pool: list[Node]) -> Node:
    x = _float(source, x)
    same = [node for node in pool if node.type == x.type]
    y = source.rng.choice(same) if same else make.full(1.0, x.dtype, x.shape)
    flag = make.apply(source.rng.choice(COMPARISONS), x, y)
    if source.coin(0.4):
        return flag
    return make.select(flag, x, make.full(source.rng.choice((0.0, -1.0)), x.dtype, x.shape))


def transpose(source: Source, x: Node, pool: list[Node]) -> Node:
    return make.transpose(x, source.rng.sample(range(x.type.rank), x.type.rank))


def reshape(source: Source, x: Node, pool: list[Node]) -> Node:
    if x.type.rank < 2:
        return x
    at = source.rng.randint(0, x.type.rank - 2)
    shape = [*x.shape[:at], x.shape[at] * x.shape[at + 1], *x.shape[at + 2 :]]
    if source.coin(0.3):
        at = source.rng.randint(0, len(shape))
        shape.insert(at, 1)
    return make.reshape(x, tuple(shape))


def split(source: Source, x: Node, pool: list[Node]) -> Node:
    for axis in source.rng.sample(range(x.type.rank), x.type.rank):
        size = x.shape[axis]
        for by in (2, 3, 4):
            if isinstance(size, int) and size % by == 0 and size > by:
                return make.reshape(x, (*x.shape[:axis], size // by, by, *x.shape[axis + 1 :]))
    return x


def flip(source: Source, x: Node, pool: list[Node]) -> Node:
    return make.flip(x, [a for a in range(x.type.rank) if source.coin()])


def slice_(source: Source, x: Node, pool: list[Node]) -> Node:
    start, stop, step = [], [], []
    for size in x.shape:
        whole = isinstance(size, Dim) or source.coin()
        start.append(0 if whole else source.rng.randint(0, size - 1))
        stop.append(size if whole else source.rng.randint(start[-1] + 1, size))
        step.append(1 if whole else source.rng.randint(1, 3))
    return make.slice(x, start, stop, step)


def pad(source: Source, x: Node, pool: list[Node]) -> Node:
    def some(axis: int, most: int) -> int:
        batch = isinstance(x.shape[axis], Dim)
        return 0 if batch or source.coin(0.6) else source.rng.randint(1, most)

    low, high, interior = ([some(a, most) for a in range(x.type.rank)] for most in (2, 2, 1))
    value = source.rng.choice((0.0, 0.0, -1.0, 2.0)) if x.dtype.kind == "f" else 0
    return make.pad(x, low, high, interior, value)


def concatenate(source: Source, x: Node, pool: list[Node]) -> Node:
    axes = [a for a, size in enumerate(x.shape) if not isinstance(size, Dim)]
    if not axes:
        return x
    same = [node for node in pool if node.type == x.type] or [x]
    parts = [x, *(source.rng.choice(same) for _ in range(source.rng.randint(1, 2)))]
    return make.concatenate(parts, source.rng.choice(axes))


def reduce(source: Source, x: Node, pool: list[Node]) -> Node:
    x = _float(source, x)
    axes = tuple(a for a in range(x.type.rank) if source.coin())
    name = source.rng.choice(("sum", "max", "min", "argmax"))
    if name == "argmax":
        if sum(isinstance(x.shape[a], Dim) for a in axes):
            return x
        return make.cast(make.argmax(x, axes), x.dtype)
    out = make.apply(name, x, axes=axes)
    if source.coin(0.6):  # and back, as in a softmax or a normalisation
        kept = [a for a in range(x.type.rank) if a not in axes]
        return make.sub(x, make.broadcast(out, x.shape, kept))
    return out


def linear(source: Source, x: Node, pool: list[Node]) -> Node:
    x = _float(source, x)
    axes = [a for a, size in enumerate(x.shape) if not isinstance(size, Dim)]
    if not axes:
        return x
    axis = source.rng.choice(axes)
    width = source.rng.choice(WIDTHS)
    turned = source.coin()
    size = x.shape[axis]
    weight = source.weight((width, size) if turned else (size, width))
    out = make.dot(_small(source, x), weight, ((axis,), (int(turned),)))
    if source.coin(0.7):
        bias = source.weight((width,))
        out = make.add(out, make.broadcast(bias, out.shape, (out.type.rank - 1,)))
    return out


def convolution(source: Source, x: Node, pool: list[Node]) -> Node:
    """Stride, padding, dilation and groups, as ``engine`` writes them."""
    rng = source.rng
    if x.type.rank != 4 or any(isinstance(size, Dim) for size in x.shape[1:]):
        return x
    x = _small(source, _float(source, x))
    kernel = (rng.randint(1, 3), rng.randint(1, 3))
    stride, dilation = (rng.randint(1, 2), rng.randint(1, 2)), (rng.randint(1, 2), 1)
    border = [0, 0, rng.randint(0, 2), rng.randint(0, 2)]
    x = make.pad(x, border, border)
    room = [(k - 1) * d + 1 <= s for k, d, s in zip(kernel, dilation, x.shape[2:], strict=True)]
    if not all(room):
        return x
    view = make.window(x, (2, 3), kernel, stride, dilation)
    channels, width = x.shape[1], rng.choice((1, 3, 6, 16))
    if channels % 2 == 0 and source.coin():
        n, _, h, w, p, q = view.shape
        view = make.reshape(view, (n, 2, channels // 2, h, w, p, q))
        weight = source.weight((2, width, channels // 2, *kernel))
        out = make.dot(view, weight, ((2, 5, 6), (2, 3, 4)), ((1,), (0,)))
        out = make.transpose(out, (1, 0, 4, 2, 3))
        out = make.reshape(out, (n, 2 * width, h, w))
    else:
        weight = source.weight((width, channels, *kernel))
        out = make.dot(view, weight, ((1, 4, 5), (1, 2, 3)))
        out = make.transpose(out, (0, 3, 1, 2))
    if source.coin(0.7):
        out = make.add(out, make.broadcast(source.weight((out.shape[1],)), out.shape, (1,)))
    return make.apply("relu", out) if source.coin() else out


def pooling(source: Source, x: Node, pool: list[Node]) -> Node:
    """Maxima and sums over windows that touch, overlap or leave gaps."""
    rng = source.rng
    x = _float(source, x)
    if x.type.rank < 3 or any(isinstance(size, Dim) for size in x.shape[-2:]):
        return x
    axes = (x.type.rank - 2, x.type.rank - 1)
    size = tuple(min(rng.randint(1, 3), x.shape[axis]) for axis in axes)
    stride = size if source.coin() else (rng.randint(1, 3), rng.randint(1, 3))
    view = make.window(x, axes, size, stride, (1, 1))
    last = (view.type.rank - 2, view.type.rank - 1)
    return make.apply(rng.choice(("max", "max", "sum")), view, axes=last)


def dropout(source: Source, x: Node, pool: list[Node]) -> Node:
    x = _float(source, x)
    key = source.input((2,), U32, 2**20)
    kept = make.apply("lt", *_level(make.random_bits(key, x.shape), 2**31))
    return make.select(kept, make.mul(x, 2.0), make.full_like(x, 0.0))


def _level(bits: Node, limit: int) -> tuple[Node, Node]:
    return bits, make.full(limit, bits.dtype, bits.shape)


def pick(source: Source, x: Node, pool: list[Node]) -> Node:
    """The element that an integer label names, as in a cross entropy."""
    x = _float(source, x)
    if x.type.rank != 2 or x.shape[0] != source.batch or isinstance(x.shape[1], Dim):
        return x
    label = source.input((source.batch,), I64, 3)
    hot = make.eq(make.iota(x.shape, 1, I64), make.broadcast(label, x.shape, (0,)))
    if source.coin(0.2):
        return make.cast(hot, BOOL)
    return make.sum(make.select(hot, x, make.full_like(x, 0.0)), (1,))


STEPS = (
    unary,
    unary,
    binary,
    binary,
    compare,
    transpose,
    reshape,
    split,
    flip,
    slice_,
    pad,
    concatenate,
    reduce,
    reduce,
    linear,
    linear,
    convolution,
    convolution,
    convolution,
    pooling,
    pooling,
    dropout,
    pick,
)
