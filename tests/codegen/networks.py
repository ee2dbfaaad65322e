"""Layer sizes in, whole training steps as graphs out: LeNet with SGD, an MLP with Adam.

Written by hand with ``ir.make``, as the tracer of ``engine`` would leave them, so that codegen is
tested without it. Each step comes as a ``Step``: the graph, what it donates, and its batch inputs.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from ir import make
from ir.dims import Size
from ir.grad import gradient
from ir.graph import Graph, Node
from ir.passes import canonicalise_nodes
from ir.types import F32, I64, DType, TensorType

LENET = {
    "conv1_weight": (6, 1, 5, 5),
    "conv1_bias": (6,),
    "conv2_weight": (16, 6, 5, 5),
    "conv2_bias": (16,),
    "fc1_weight": (120, 400),
    "fc1_bias": (120,),
    "fc2_weight": (84, 120),
    "fc2_bias": (84,),
    "fc3_weight": (10, 84),
    "fc3_bias": (10,),
}
SCALARS = {"lr": 0.01, "momentum": 0.9, "b1": 0.9, "b2": 0.999, "eps": 1e-3, "step": 0.0}


@dataclass
class Step:
    """One training step: outputs are the loss and the new state."""

    graph: Graph
    donated: dict[int, int]
    batch_inputs: tuple[int, ...] = (0, 1)

    def arrays(self, batch: int, seed: int = 0) -> list[np.ndarray]:
        """Inputs for a batch of that size: scalars at usual values, slots zero."""
        rng = np.random.default_rng(seed)
        return [_array(node, batch, rng) for node in self.graph.inputs]


def input_node(name: str, shape: tuple[Size, ...], dtype: DType = F32) -> Node:
    return make.input_node(TensorType(dtype, shape), name)


def relu(x: Node) -> Node:
    return make.apply("relu", x)


def add_bias(x: Node, bias: Node, axis: int) -> Node:
    return make.add(x, make.broadcast(bias, x.shape, (axis,)))


def convolution(
    x: Node,
    weight: Node,
    bias: Node | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Node:
    """PyTorch's conv2d: x (N, C, H, W), weight (O, C / groups, K, L)."""
    border = (0, 0, padding, padding)
    kernel = tuple(weight.shape[2:])
    view = make.window(make.pad(x, border, border), (2, 3), kernel, (stride,) * 2, (dilation,) * 2)
    if groups == 1:
        out = make.transpose(make.dot(view, weight, ((1, 4, 5), (1, 2, 3))), (0, 3, 1, 2))
    else:
        out = _grouped(view, weight, groups)
    return out if bias is None else add_bias(out, bias, 1)


def _grouped(view: Node, weight: Node, groups: int) -> Node:
    n, c, h, w, *kernel = view.shape
    view = make.reshape(view, (n, groups, c // groups, h, w, *kernel))
    wide = weight.shape[0] // groups
    weight = make.reshape(weight, (groups, wide, *weight.shape[1:]))
    out = make.dot(view, weight, ((2, 5, 6), (2, 3, 4)), ((1,), (0,)))
    return make.reshape(make.transpose(out, (1, 0, 4, 2, 3)), (n, groups * wide, h, w))


def max_pool(x: Node, size: int = 2, stride: int = 2) -> Node:
    return make.max(make.window(x, (2, 3), (size,) * 2, (stride,) * 2, (1, 1)), (4, 5))


def average_pool(x: Node, size: int, stride: int) -> Node:
    total = make.sum(make.window(x, (2, 3), (size,) * 2, (stride,) * 2, (1, 1)), (4, 5))
    return make.mul(total, 1.0 / size**2)


def linear(x: Node, weight: Node, bias: Node) -> Node:
    return add_bias(make.dot(x, weight, ((1,), (1,))), bias, 1)


def cross_entropy(z: Node, label: Node) -> Node:
    """The mean over the batch of log-sum-exp minus the label's logit."""
    top = make.max(z, (1,))
    shifted = make.sub(z, make.broadcast(top, z.shape, (0,)))
    total = make.log(make.sum(make.exp(shifted), (1,)))
    hot = make.eq(make.iota(z.shape, 1, I64), make.broadcast(label, z.shape, (0,)))
    picked = make.sum(make.select(hot, shifted, make.full_like(shifted, 0)), (1,))
    count = make.size(z.shape[0], z.dtype)
    return make.div(make.sum(make.sub(total, picked), (0,)), count)


def slopes(loss: Node, wrt: list[Node]) -> list[Node]:
    """The gradient of the canonical loss, as ``engine`` takes it."""
    return gradient(canonicalise_nodes([loss])[loss], wrt)


def scale(x: Node, scalar: Node) -> Node:
    return make.mul(x, make.broadcast(scalar, x.shape, ()))


def lenet(batch: Size) -> Step:
    """The tutorial's LeNet with SGD and momentum."""
    x, label = input_node("x", (batch, 1, 32, 32)), input_node("y", (batch,), I64)
    rate, momentum = input_node("lr", ()), input_node("momentum", ())
    p = {name: input_node(name, shape) for name, shape in LENET.items()}
    v = {name: input_node(f"v_{name}", shape) for name, shape in LENET.items()}
    h = max_pool(relu(convolution(x, p["conv1_weight"], p["conv1_bias"])))
    h = max_pool(relu(convolution(h, p["conv2_weight"], p["conv2_bias"])))
    h = make.reshape(h, (batch, 400))
    h = relu(linear(h, p["fc1_weight"], p["fc1_bias"]))
    h = relu(linear(h, p["fc2_weight"], p["fc2_bias"]))
    loss = cross_entropy(linear(h, p["fc3_weight"], p["fc3_bias"]), label)
    inputs = [x, label, rate, momentum, *p.values(), *v.values()]
    outputs, donated = [loss], {}
    for name, slope in zip(p, slopes(loss, list(p.values())), strict=True):
        speed = make.add(scale(v[name], momentum), slope)
        for state, new in ((p[name], make.sub(p[name], scale(speed, rate))), (v[name], speed)):
            donated[len(outputs)] = inputs.index(state)
            outputs.append(new)
    return Step(Graph(tuple(inputs), tuple(outputs)), donated)


def mlp(batch: Size, widths: tuple[int, ...] = (784, 512, 256, 10)) -> Step:
    """A multilayer perceptron with Adam."""
    x, label = input_node("x", (batch, widths[0])), input_node("y", (batch,), I64)
    s = {name: input_node(name, ()) for name in ("lr", "b1", "b2", "eps", "step")}
    p: list[Node] = []
    for at, (a, b) in enumerate(itertools.pairwise(widths)):
        p += [input_node(f"fc{at + 1}_weight", (b, a)), input_node(f"fc{at + 1}_bias", (b,))]
    m = [input_node(f"m{at}", w.shape) for at, w in enumerate(p)]
    v = [input_node(f"v{at}", w.shape) for at, w in enumerate(p)]
    h = x
    for at in range(0, len(p), 2):
        h = linear(h, p[at], p[at + 1])
        h = h if at + 2 == len(p) else relu(h)
    loss = cross_entropy(h, label)
    step = make.add(s["step"], 1.0)
    inputs = [x, label, *s.values(), *p, *m, *v]
    outputs, donated = [loss, step], {1: inputs.index(s["step"])}
    for states, slope in zip(zip(p, m, v, strict=True), slopes(loss, p), strict=True):
        for state, new in zip(states, _adam(*states, slope, {**s, "step": step}), strict=True):
            donated[len(outputs)] = inputs.index(state)
            outputs.append(new)
    return Step(Graph(tuple(inputs), tuple(outputs)), donated)


def _adam(w: Node, m: Node, v: Node, slope: Node, s: dict[str, Node]) -> tuple[Node, Node, Node]:
    m = make.add(scale(m, s["b1"]), scale(slope, make.sub(1.0, s["b1"])))
    v = make.add(scale(v, s["b2"]), scale(make.mul(slope, slope), make.sub(1.0, s["b2"])))
    left = make.sub(1.0, make.pow(s["b1"], s["step"]))
    right = make.apply("sqrt", make.sub(1.0, make.pow(s["b2"], s["step"])))
    deviation = make.div(make.apply("sqrt", v), make.broadcast(right, v.shape, ()))
    deviation = make.add(deviation, make.broadcast(s["eps"], v.shape, ()))
    return make.sub(w, scale(make.div(m, deviation), make.div(s["lr"], left))), m, v


def _array(node: Node, batch: int, rng: np.random.Generator) -> np.ndarray:
    name = node.attrs["name"]
    shape = tuple(size if isinstance(size, int) else batch for size in node.shape)
    if node.dtype == I64:
        return rng.integers(0, 10, shape)
    if name in SCALARS:
        return np.array(SCALARS[name], node.dtype)
    if name[0] in "mv":
        return np.zeros(shape, node.dtype)
    scale_ = 1.0 if name == "x" else 1 / np.sqrt(max(np.prod(shape[1:]), 25))
    return (rng.standard_normal(shape) * scale_).astype(node.dtype)
