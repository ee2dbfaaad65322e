"""A source of randomness in, a random graph and its inputs out; and the comparison of results.

Every value in these graphs is a small whole number, an infinity or NaN, and every op is exact on
them, so that a pass that only reorders exact arithmetic must give the same bits.
"""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from ir import make
from ir.graph import Graph, Location, Node, located
from ir.passes.rewrite import literal
from ir.types import BOOL, F64, I64, TensorType, is_float

Drawn = tuple[Graph, list[np.ndarray]]

VALUES = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, np.inf, -np.inf, np.nan)
_WEIGHTS = (4, 4, 4, 4, 4, 4, 4, 4, 1, 1, 1)
SCALARS = (0.0, -0.0, 1.0, -1.0, 2.0, -4.0)
UNARY = ("neg", "abs", "sign", "relu", "relu", "floor", "ceil")
BINARY = ("add", "sub", "maximum", "minimum", "mul")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
REDUCTIONS = ("sum", "max", "min")


@pytest.fixture(scope="session")
def draw_graph() -> Callable[[Random], Drawn]:
    """A function from a source of randomness to a graph and arrays for its inputs."""
    return _draw_graph


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., None]:
    """A function that fails unless two lists of results agree bit for bit (NaN equals NaN)."""
    return _assert_same


@pytest.fixture(scope="session")
def spell() -> Callable[[Node], str]:
    """A function from a node to one line, ``mul(x, -2.0)``: what before/after tests compare.

    Attributes follow the op's name, all but the shape, which the types already fix; a constant
    repeated to a shape is spelled as its value.
    """
    return _spell


def _spell(node: Node) -> str:
    if node.op.name == "input":
        return str(node.attrs["name"])
    if literal(node) is not None:
        return repr(literal(node))
    attrs = [f"{k}={v}" for k, v in sorted(node.attrs.items()) if k not in ("shape", "extent")]
    inputs = ", ".join(_spell(source) for source in node.inputs)
    shape = "x".join(str(size) for size in node.shape) if node.op.name == "reshape" else ""
    return f"{node.op.name}{shape}{'[' + ' '.join(attrs) + ']' if attrs else ''}({inputs})"


def _assert_same(
    actual: Sequence[np.ndarray], wanted: Sequence[np.ndarray], zero_signs: bool = True
) -> None:
    for left, right in zip(actual, wanted, strict=True):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        np.testing.assert_array_equal(left, right)
        if zero_signs and left.dtype.kind == "f":
            numbers = ~np.isnan(right)
            np.testing.assert_array_equal(np.signbit(left)[numbers], np.signbit(right)[numbers])


def _draw_graph(rng: Random) -> Drawn:
    inputs = [
        make.input_node(TensorType(F64, tuple(rng.randint(1, 3) for _ in range(rank))), f"x{at}")
        for at, rank in enumerate(rng.choices((0, 1, 2, 3), (1, 2, 4, 4), k=rng.randint(1, 3)))
    ]
    pool: list[Node] = list(inputs)
    for step in range(rng.randint(2, 12)):
        # Mostly on from the last node: passes look at chains.
        x = pool[-1] if rng.random() < 0.7 else rng.choice(pool)
        with located(Location("net.py", step + 1, f"y = step_{step}(x)")):
            pool.append(rng.choice(_STEPS)(rng, x, pool))
    outputs = [pool[-1], rng.choice(pool)]
    arrays = [
        np.array(rng.choices(VALUES, _WEIGHTS, k=math.prod(node.shape)), F64).reshape(node.shape)
        for node in inputs
    ]
    return Graph(tuple(inputs), tuple(outputs), (), ("last", "some")), arrays


def _coin(rng: Random) -> bool:
    return rng.random() < 0.5


def _shuffled(rng: Random, items: Sequence[Any] | range) -> list[Any]:
    return rng.sample(items, len(items))


def _elementwise(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    return make.apply(rng.choice(UNARY), x) if is_float(x.dtype) else _cast(rng, x, pool)


def _partner(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    same = [node for node in pool if node.type == x.type]
    if is_float(x.dtype) and _coin(rng):
        return make.full(rng.choice(SCALARS), x.dtype, x.shape)
    return rng.choice(same)


def _binary(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    if not is_float(x.dtype):
        return _compare(rng, x, pool)
    y = _partner(rng, x, pool)
    # Products of products soon leave the whole numbers that doubles hold.
    few = sum(node.op.name in ("mul", "dot") for node in pool) < 3
    name = rng.choice(BINARY if few else BINARY[:-1])
    return make.apply(name, *((x, y) if _coin(rng) else (y, x)))


def _scale(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    if not is_float(x.dtype):
        return _compare(rng, x, pool)
    factor = make.full(rng.choice([1.0, -1.0, 0.5, -0.25]), x.dtype, x.shape)
    return make.div(x, factor)


def _compare(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    names = COMPARISONS if x.dtype != BOOL else ("eq", "ne", "and", "or", "xor")
    return make.apply(rng.choice(names), x, _partner(rng, x, pool))


def _select(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    y = _partner(rng, x, pool)
    same = [node for node in pool if node.dtype == BOOL and node.shape == x.shape]
    condition = rng.choice(same) if same else make.eq(x, y)
    if _coin(rng):
        condition = make.apply("not", condition)
    return make.select(condition, x, y)


def _cast(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    return make.cast(x, rng.choice([F64, I64, BOOL])) if x.dtype.kind != "f" else x


def _reshape(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    shape = _shuffled(rng, x.shape) if _coin(rng) else [x.type.numel]
    shape = list(shape)
    shape.insert(rng.randint(0, len(shape)), 1)
    return make.reshape(x, shape) if len(shape) <= 4 else x


def _transpose(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    perm = _shuffled(rng, range(x.type.rank))
    return make.apply("transpose", x, perm=tuple(perm))


def _broadcast(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    shape = list(x.shape)
    axes = list(range(len(shape)))
    if len(shape) < 4:
        at = rng.randint(0, len(shape))
        shape.insert(at, rng.randint(1, 3))
        axes = [axis for axis in range(len(shape)) if axis != at]
    return make.apply("broadcast", x, shape=tuple(shape), axes=tuple(axes))


def _slice(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    start = [rng.randint(0, size - 1) for size in x.shape]
    stop = [rng.randint(a + 1, size) for a, size in zip(start, x.shape, strict=True)]
    step = [rng.randint(1, 2) for _ in x.shape]
    return make.apply("slice", x, start=tuple(start), stop=tuple(stop), step=tuple(step))


def _pad(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    low, high, interior = ([rng.randint(0, 1) for _ in x.shape] for _ in range(3))
    if _coin(rng):
        interior = [0 for _ in x.shape]
    value = rng.choice(SCALARS) if is_float(x.dtype) else 0.0
    padded = make.pad(x, low, high, interior, value)
    return padded if all(size < 6 for size in padded.shape) else x


def _flip(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    return make.flip(x, [axis for axis in range(x.type.rank) if _coin(rng)])


def _concatenate(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    if x.type.rank == 0 or x.shape[0] > 3:
        return x
    y = rng.choice([n for n in pool if n.type == x.type])
    return make.apply("concatenate", x, y, axis=rng.randint(0, x.type.rank - 1))


def _reduce(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    if x.dtype == BOOL:
        return x
    axes = [axis for axis in range(x.type.rank) if _coin(rng)]
    return make.apply(rng.choice(REDUCTIONS), x, axes=tuple(axes[::-1]))


def _position(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    axes = [axis for axis in range(x.type.rank) if _coin(rng)]
    return make.cast(make.argmax(x, axes), F64)


def _pool(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    """ReLU, perhaps padding, then a max over windows: what canonicalise looks for."""
    if x.type.rank == 0 or x.type.rank > 2 or not is_float(x.dtype):
        return x
    size = rng.randint(1, x.shape[0])
    y = make.apply("relu", x)
    if _coin(rng):
        value = rng.choice([0.0, 1.0, -1.0, -np.inf])
        low = [rng.randint(0, 2), *(0 for _ in x.shape[1:])]
        y = make.pad(y, low, low[::-1] if x.type.rank == 1 else low, value=value)
    windows = make.window(y, (0,), (size,), (rng.randint(1, 2),), (1,))
    return make.max(windows, (windows.type.rank - 1,))


def _dot(rng: Random, x: Node, pool: Sequence[Node]) -> Node:
    if x.type.rank == 0 or not is_float(x.dtype) or any(n.op.name == "dot" for n in pool):
        return x
    rank = x.type.rank
    perm = _shuffled(rng, range(rank))
    turned = make.apply("transpose", x, perm=tuple(perm))
    axes = rng.sample(range(rank), rng.randint(0, rank))
    heads = rng.randint(0, len(axes))
    there = [perm.index(axis) for axis in axes]
    contract = (axes[heads:], there[heads:])
    made = make.dot(x, turned, contract, (axes[:heads], there[:heads]))
    return (
        make.transpose(made, _shuffled(rng, range(made.type.rank))) if (made.type.rank <= 4) else x
    )


_STEPS = (
    _elementwise,
    _binary,
    _binary,
    _scale,
    _compare,
    _select,
    _cast,
    _reshape,
    _transpose,
    _broadcast,
    _broadcast,
    _slice,
    _pad,
    _flip,
    _concatenate,
    _reduce,
    _position,
    _pool,
    _dot,
)
