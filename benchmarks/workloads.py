"""A workload's name in, its sizes and batches out: NumPy only.

Every framework sees these very batches, and starts from the same weights (weights.py), so that
losses can be compared before anything is timed. A name that starts with "sweep-" is a workload
drawn at random (draws.py) from the number that follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from draws import draw
from kinds import Workload

Array: TypeAlias = npt.NDArray[Any]
Batch: TypeAlias = tuple[Array, Array]
SWEEP = "sweep-"

_LENET = {"channels": (6, 16), "kernel": 5, "image": 32, "hidden": (120, 84), "classes": 10}
_TRANSFORMER = {
    "vocabulary": 256,
    "length": 64,
    "width": 128,
    "heads": 4,
    "feed": 512,
    "layers": 2,
}
_RESNET = {"widths": (32, 64), "image": 32, "classes": 10}
_LSTM = {"features": 128, "width": 128, "length": 50, "classes": 10}
_GAN = {"latent": 64, "channels": (128, 64, 32)}
_MILLIONS = {"rows": 4096, "columns": 4096}  # 16 777 216 elements, 64 MiB

WORKLOADS = {
    "lenet": Workload("LeNet", "convnet", 64, "sgd", 0.01, _LENET),
    "mlp": Workload("MLP", "mlp", 128, "adam", 0.001, {"widths": (784, 512, 256, 10)}),
    "transformer": Workload("Transformer", "transformer", 16, "adamw", 0.001, _TRANSFORMER),
    "resnet": Workload("ResNet", "resnet", 32, "sgd", 0.01, _RESNET),
    "lstm": Workload("LSTM", "lstm", 32, "adam", 0.001, _LSTM),
    "gan": Workload("GAN", "gan", 64, "adam", 0.0002, _GAN, tolerance=1e-2, beta1=0.5),
    "elementwise": Workload("Elementwise, 16M", "chain", 1, "", 0.0, _MILLIONS),
    "reductions": Workload("Reductions, 16M", "reductions", 1, "", 0.0, _MILLIONS),
    "infer-lenet": Workload("LeNet, inference", "convnet", 1, "", 0.0, _LENET),
    "infer-transformer": Workload(
        "Transformer, inference", "transformer", 1, "", 0.0, _TRANSFORMER
    ),
}


def find(name: str) -> Workload:
    """The workload of a name; KeyError where there is none."""
    if name.startswith(SWEEP):
        return draw(int(name.removeprefix(SWEEP)))
    return WORKLOADS[name]


def batches(workload: Workload, count: int, seed: int = 1) -> list[Batch]:
    """``count`` batches of inputs and targets; one where an input is as large as 16M elements."""
    rng = np.random.default_rng(seed)
    make = _MAKERS[workload.family]
    return [make(rng, workload) for _ in range(1 if workload.leaf else count)]


def _images(rng: np.random.Generator, workload: Workload) -> Batch:
    sizes = workload.sizes
    channels = 3 if workload.family == "resnet" else 1
    shape = (workload.batch, channels, sizes["image"], sizes["image"])
    return _normal(rng, shape), rng.integers(0, sizes["classes"], workload.batch)


def _features(rng: np.random.Generator, workload: Workload) -> Batch:
    first, *_, classes = workload.sizes["widths"]
    return _normal(rng, (workload.batch, first)), rng.integers(0, classes, workload.batch)


def _tokens(rng: np.random.Generator, workload: Workload) -> Batch:
    """A text and its continuation: the target of every place is the next token."""
    sizes = workload.sizes
    text = rng.integers(0, sizes["vocabulary"], (workload.batch, sizes["length"] + 1))
    return np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:])


def _series(rng: np.random.Generator, workload: Workload) -> Batch:
    sizes = workload.sizes
    x = _normal(rng, (workload.batch, sizes["length"], sizes["features"]))
    return x, rng.integers(0, sizes["classes"], workload.batch)


def _pairs(rng: np.random.Generator, workload: Workload) -> Batch:
    """Real images within -1 and 1, and the noise that fakes are made of."""
    noise = _normal(rng, (workload.batch, workload.sizes["latent"]))
    return np.tanh(_normal(rng, (workload.batch, 1, 32, 32))), noise


def _grid(rng: np.random.Generator, workload: Workload) -> Batch:
    """One large leaf, and the two numbers or nothing that go with it."""
    x = _normal(rng, (workload.sizes["rows"], workload.sizes["columns"]))
    return x, np.array([1.25, 0.5], np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


_MAKERS: dict[str, Callable[[np.random.Generator, Workload], Batch]] = {
    "convnet": _images,
    "resnet": _images,
    "mlp": _features,
    "transformer": _tokens,
    "lstm": _series,
    "gan": _pairs,
    "chain": _grid,
    "reductions": _grid,
}
