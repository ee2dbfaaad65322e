"""A workload and a variant in, JAX's functions of the same networks out.

A network is a function of parameters, running statistics and inputs; it gives its outputs and
the statistics that are new. ``train`` is whether it normalises by the batch: none of those that
only infer here has statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax_layers import (
    Arrays,
    attention,
    batch_norm,
    conv,
    layer_norm,
    linear,
    lstm,
    max_pool,
)
from kinds import Workload

Forward: TypeAlias = Callable[[Arrays, Arrays, Any], tuple[Any, Arrays]]


def forward_of(workload: Workload, variant: str) -> Forward:
    """The network's function, of its sizes and in the variant's layout."""
    makers: dict[str, Callable[[Workload, str], Forward]] = {
        "mlp": _mlp,
        "convnet": _convnet,
        "resnet": _resnet,
        "transformer": _transformer,
        "lstm": _lstm,
    }
    return makers[workload.family](workload, variant)


def is_last(variant: str) -> bool:
    """Whether images have their channels last."""
    return variant.startswith("NHWC")


def _dense(params: Arrays, x: Any, depth: int) -> Any:
    for at in range(1, depth):
        x = jax.nn.relu(linear(params, f"fc{at}", x))
    return linear(params, f"fc{depth}", x)


def _mlp(workload: Workload, variant: str) -> Forward:
    depth = len(workload.sizes["widths"]) - 1
    return lambda params, stats, x: (_dense(params, x, depth), {})


def _convnet(workload: Workload, variant: str) -> Forward:
    last, by_reshape = is_last(variant), variant.endswith("reshape")
    stages, depth = len(workload.sizes["channels"]), len(workload.sizes["hidden"]) + 1

    def forward(params: Arrays, stats: Arrays, x: Any) -> tuple[Any, Arrays]:
        for at in range(1, stages + 1):
            x = max_pool(jax.nn.relu(conv(params, f"conv{at}", x, last)), last, by_reshape)
        x = (x.transpose(0, 3, 1, 2) if last else x).reshape(len(x), -1)
        return _dense(params, x, depth), {}

    return forward


def _resnet(workload: Workload, variant: str) -> Forward:
    last = is_last(variant)

    def normal(params: Arrays, stats: Arrays, new: Arrays, name: str, x: Any) -> Any:
        out, found = batch_norm(params, stats, name, x, last)
        new |= found
        return out

    def block(params: Arrays, stats: Arrays, new: Arrays, name: str, x: Any) -> Any:
        turn = f"{name}.shortcut.0"
        stride = 2 if f"{turn}.weight" in params else 1
        y = conv(params, f"{name}.conv1", x, last, stride, 1)
        y = jax.nn.relu(normal(params, stats, new, f"{name}.norm1", y))
        y = normal(
            params, stats, new, f"{name}.norm2", conv(params, f"{name}.conv2", y, last, 1, 1)
        )
        if stride > 1:
            around = conv(params, turn, x, last, stride)
            x = normal(params, stats, new, f"{name}.shortcut.1", around)
        return jax.nn.relu(x + y)

    def forward(params: Arrays, stats: Arrays, x: Any) -> tuple[Any, Arrays]:
        new: Arrays = {}
        x = conv(params, "stem", x, last, 1, 1)
        x = jax.nn.relu(normal(params, stats, new, "norm", x))
        for at in range(4):
            x = block(params, stats, new, f"blocks.{at}", x)
        return linear(params, "fc", x.mean((1, 2) if last else (2, 3))), new

    return forward


def _transformer(workload: Workload, variant: str) -> Forward:
    heads, layers = workload.sizes["heads"], workload.sizes["layers"]

    def forward(params: Arrays, stats: Arrays, x: Any) -> tuple[Any, Arrays]:
        x = params["embed.weight"][x] + params["place"]
        for at in range(layers):
            layer = f"encoder.layers.{at}"
            y = layer_norm(params, f"{layer}.norm1", x)
            x = x + attention(params, f"{layer}.self_attn", y, heads)
            y = linear(params, f"{layer}.linear1", layer_norm(params, f"{layer}.norm2", x))
            x = x + linear(params, f"{layer}.linear2", jax.nn.gelu(y, approximate=False))
        return linear(params, "head", layer_norm(params, "encoder.norm", x)), {}

    return forward


def _lstm(workload: Workload, variant: str) -> Forward:
    unroll = int(variant.rpartition(" ")[2]) if "unroll" in variant else 1
    return lambda params, stats, x: (linear(params, "fc", lstm(params, x, unroll)), {})


def generator(params: Arrays, stats: Arrays, x: Any, last: bool) -> tuple[Any, Arrays]:
    """Noise [n, latent] -> images of one channel, and new statistics."""
    x = linear(params, "generator.fc", x)
    x = x.reshape(len(x), -1, 4, 4)
    x = x.transpose(0, 2, 3, 1) if last else x
    new: Arrays = {}
    for at in range(3):
        x, found = batch_norm(params, stats, f"generator.norm{at}", x, last)
        new |= found
        x = conv(params, f"generator.up{at + 1}", jax.nn.relu(x), last, padding=2, spread=2)
    return jnp.tanh(x), new


def discriminator(params: Arrays, stats: Arrays, x: Any, last: bool) -> tuple[Any, Arrays]:
    """Images of one channel -> scores [n, 1], and new statistics."""
    new: Arrays = {}
    for at in range(1, 4):
        x = conv(params, f"discriminator.down{at}", x, last, 2, 1)
        if at > 1:
            x, found = batch_norm(params, stats, f"discriminator.norm{at}", x, last)
            new |= found
        x = jax.nn.leaky_relu(x, 0.2)
    x = (x.transpose(0, 3, 1, 2) if last else x).reshape(len(x), -1)
    return linear(params, "discriminator.fc", x), new
