"""A workload in, its first weights by PyTorch's names out: NumPy only.

Each family is a table of names and shapes; loading them is strict, so that a name or a shape that
differs from the network's own is an error. Values are drawn as PyTorch draws them: uniform within
one over the root of the fan-in; a normalisation begins with ones and zeros.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from kinds import Workload

Array: TypeAlias = npt.NDArray[Any]
Shapes: TypeAlias = dict[str, tuple[int, ...]]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def first_weights(workload: Workload, seed: int = 0) -> dict[str, Array]:
    """Parameters and buffers by name; empty where the workload has no network."""
    if workload.leaf:
        return {}
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    bound = 0.0  # of the weight that a bias belongs to
    for name, shape in _TABLES[workload.family](**workload.sizes).items():
        last = name.rpartition(".")[2]
        if last in STATISTICS:
            kind = np.int64 if last == "num_batches_tracked" else np.float32
            found[name] = np.full(shape, last == "running_var", kind)
        elif last == "weight" and len(shape) == 1:
            found[name], bound = np.ones(shape, np.float32), 0.0
        else:
            bound = float(np.prod(shape[1:])) ** -0.5 if len(shape) > 1 else bound
            found[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return found


def _affine(name: str, *shape: int) -> Shapes:
    """A weight, and its bias with as many entries as the weight's axis 0."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str, width: int) -> Shapes:
    return _affine(name, width)


def _batch_norm(name: str, width: int) -> Shapes:
    mean, var, count = (f"{name}.{key}" for key in STATISTICS)
    return _norm(name, width) | {mean: (width,), var: (width,), count: ()}


def _mlp(widths: tuple[int, ...]) -> Shapes:
    shapes: Shapes = {}
    for at, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
        shapes |= _affine(f"fc{at}", outputs, inputs)
    return shapes


def _convnet(
    channels: tuple[int, ...], kernel: int, image: int, hidden: tuple[int, ...], classes: int
) -> Shapes:
    shapes: Shapes = {}
    for at, (inputs, outputs) in enumerate(zip((1, *channels), channels, strict=False), 1):
        shapes |= _affine(f"conv{at}", outputs, inputs, kernel, kernel)
        image = (image - kernel + 1) // 2
    return shapes | _mlp((channels[-1] * image**2, *hidden, classes))


def _resnet(widths: tuple[int, int], image: int, classes: int) -> Shapes:
    narrow, wide = widths
    shapes = {"stem.weight": (narrow, 3, 3, 3)} | _batch_norm("norm", narrow)
    pairs = ((narrow, narrow), (narrow, narrow), (narrow, wide), (wide, wide))
    for at, (inputs, outputs) in enumerate(pairs):
        block = f"blocks.{at}"
        for part, source in ((1, inputs), (2, outputs)):
            shapes[f"{block}.conv{part}.weight"] = (outputs, source, 3, 3)
            shapes |= _batch_norm(f"{block}.norm{part}", outputs)
        if inputs != outputs:
            shapes[f"{block}.shortcut.0.weight"] = (outputs, inputs, 1, 1)
            shapes |= _batch_norm(f"{block}.shortcut.1", outputs)
    return shapes | _affine("fc", classes, wide)


def _transformer(
    vocabulary: int, length: int, width: int, heads: int, feed: int, layers: int
) -> Shapes:
    shapes: Shapes = {"place": (length, width), "embed.weight": (vocabulary, width)}
    for at in range(layers):
        layer = f"encoder.layers.{at}"
        shapes[f"{layer}.self_attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{layer}.self_attn.in_proj_bias"] = (3 * width,)
        shapes |= _affine(f"{layer}.self_attn.out_proj", width, width)
        shapes |= _affine(f"{layer}.linear1", feed, width)
        shapes |= _affine(f"{layer}.linear2", width, feed)
        shapes |= _norm(f"{layer}.norm1", width) | _norm(f"{layer}.norm2", width)
    return shapes | _norm("encoder.norm", width) | _affine("head", vocabulary, width)


def _lstm(features: int, width: int, length: int, classes: int) -> Shapes:
    shapes: Shapes = {
        "lstm.weight_ih_l0": (4 * width, features),
        "lstm.weight_hh_l0": (4 * width, width),
        "lstm.bias_ih_l0": (4 * width,),
        "lstm.bias_hh_l0": (4 * width,),
    }
    return shapes | _affine("fc", classes, width)


def _gan(latent: int, channels: tuple[int, int, int]) -> Shapes:
    wide, middle, narrow = channels
    maker, judge = "generator", "discriminator"
    shapes = {f"{maker}.fc.weight": (wide * 16, latent)} | _batch_norm(f"{maker}.norm0", wide)
    for at, (inputs, outputs) in enumerate(((wide, middle), (middle, narrow)), 1):
        shapes[f"{maker}.up{at}.weight"] = (inputs, outputs, 4, 4)
        shapes |= _batch_norm(f"{maker}.norm{at}", outputs)
    shapes |= {f"{maker}.up3.weight": (narrow, 1, 4, 4), f"{maker}.up3.bias": (1,)}
    shapes |= _affine(f"{judge}.down1", narrow, 1, 4, 4)
    for at, (inputs, outputs) in enumerate(((narrow, middle), (middle, wide)), 2):
        shapes[f"{judge}.down{at}.weight"] = (outputs, inputs, 4, 4)
        shapes |= _batch_norm(f"{judge}.norm{at}", outputs)
    return shapes | _affine(f"{judge}.fc", 1, wide * 16)


_TABLES: dict[str, Callable[..., Shapes]] = {
    "mlp": _mlp,
    "convnet": _convnet,
    "resnet": _resnet,
    "transformer": _transformer,
    "lstm": _lstm,
    "gan": _gan,
}
