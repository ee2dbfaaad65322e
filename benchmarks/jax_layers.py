"""Arrays in, arrays out: what jax_networks.py is made of, in either layout of images.

Weights keep PyTorch's names. Their axes are turned once, when they are loaded, into the order
that XLA takes: matrices [inputs, outputs], kernels OIHW or HWIO; the kernel of a transposed
convolution is turned over, which makes it the kernel of a convolution of the spread-out input.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Arrays = dict[str, Any]
BATCH_EPSILON, LAYER_EPSILON, MOVE = 1e-5, 1e-5, 0.1


def turned(name: str, array: Any, last: bool) -> Any:
    """One of PyTorch's arrays in XLA's order of axes; ``last``: channels last."""
    if array.ndim == 4:
        if ".up" in name:
            array = array[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        return array.transpose(2, 3, 1, 0) if last else array
    lookup = name in ("embed.weight", "place")
    return array.T if array.ndim == 2 and not lookup else array


def linear(params: Arrays, name: str, x: Any) -> Any:
    """[..., inputs] -> [..., outputs]."""
    out, bias = x @ params[f"{name}.weight"], params.get(f"{name}.bias")
    return out if bias is None else out + bias


def conv(
    params: Arrays,
    name: str,
    x: Any,
    last: bool,
    stride: int = 1,
    padding: int = 0,
    spread: int = 1,
) -> Any:
    """A convolution with the bias that it may have; ``spread`` puts zeros between the pixels."""
    layout = ("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW")
    edges = ((padding, padding), (padding, padding))
    out = jax.lax.conv_general_dilated(
        x,
        params[f"{name}.weight"],
        (stride, stride),
        edges,
        lhs_dilation=(spread, spread),
        dimension_numbers=layout,
    )
    bias = params.get(f"{name}.bias")
    return out if bias is None else out + along(bias, last)


def along(vector: Any, last: bool) -> Any:
    """One number a channel, in the shape that broadcasts over images."""
    return vector if last else vector[:, None, None]


def batch_norm(params: Arrays, stats: Arrays, name: str, x: Any, last: bool) -> tuple[Any, Arrays]:
    """Normalised over the batch, and the running statistics moved towards the batch's."""
    axes = (0, 1, 2) if last else (0, 2, 3)
    mean = x.mean(axes)
    var = ((x - along(mean, last)) ** 2).mean(axes)
    count = x.size // mean.size
    scale = params[f"{name}.weight"] * jax.lax.rsqrt(var + BATCH_EPSILON)
    out = (x - along(mean, last)) * along(scale, last) + along(params[f"{name}.bias"], last)
    moved = {"running_mean": mean, "running_var": var * (count / (count - 1))}
    news = {
        f"{name}.{key}": stats[f"{name}.{key}"] * (1 - MOVE) + MOVE * value
        for key, value in moved.items()
    }
    return out, news


def layer_norm(params: Arrays, name: str, x: Any) -> Any:
    """Normalised over the last axis."""
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    normal = (x - mean) * jax.lax.rsqrt(var + LAYER_EPSILON)
    return normal * params[f"{name}.weight"] + params[f"{name}.bias"]


def attention(params: Arrays, name: str, x: Any, heads: int) -> Any:
    """Causal attention of a sequence to itself: [n, t, e] -> [n, t, e]."""
    n, t, e = x.shape
    joined = x @ params[f"{name}.in_proj_weight"] + params[f"{name}.in_proj_bias"]
    q, k, v = joined.reshape(n, t, 3, heads, e // heads).transpose(2, 0, 3, 1, 4)
    scores = (q @ k.swapaxes(-1, -2)) * (e // heads) ** -0.5
    seen = jnp.tril(jnp.ones((t, t), bool))
    out = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ v
    return linear(params, f"{name}.out_proj", out.transpose(0, 2, 1, 3).reshape(n, t, e))


def lstm(params: Arrays, x: Any, unroll: int) -> Any:
    """The last output of one layer: [n, t, features] -> [n, width]. Inputs multiplied at once."""
    bias = params["lstm.bias_ih_l0"] + params["lstm.bias_hh_l0"]
    inputs = x.swapaxes(0, 1) @ params["lstm.weight_ih_l0"] + bias
    again = params["lstm.weight_hh_l0"]

    def turn(state: Any, given: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(given + h @ again, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((len(x), again.shape[0]), x.dtype)
    ((h, _), _) = jax.lax.scan(turn, (zero, zero), inputs, unroll=unroll)
    return h


def max_pool(x: Any, last: bool, by_reshape: bool) -> Any:
    """The largest of every 2x2 pixels; by reshape the gradient spares XLA's slow scatter."""
    if by_reshape:
        n, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
    window = (1, 2, 2, 1) if last else (1, 1, 2, 2)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def entropy(scores: Any, y: Any) -> Any:
    """Cross-entropy of classes along the last axis, averaged."""
    found = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(found, y[..., None], axis=-1).mean()


def binary_entropy(scores: Any, real: bool) -> Any:
    """Cross-entropy of scores against all ones (``real``) or all zeros."""
    return jax.nn.softplus(-scores if real else scores).mean()
