"""A workload's name in, its sizes, first weights and batches out: NumPy only.

Every framework starts from these very arrays, so that losses can be compared before anything is
timed. Weights carry PyTorch's names and layouts and are drawn as PyTorch draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """One network with its optimizer; ``shapes`` are its weights, a bias after each."""

    title: str
    image: tuple[int, ...]
    batch: int
    optimizer: str
    rate: float
    shapes: tuple[tuple[str, tuple[int, ...]], ...]


WORKLOADS = {
    "lenet": Workload(
        "LeNet",
        image=(1, 32, 32),
        batch=64,
        optimizer="sgd",
        rate=0.01,
        shapes=(
            ("conv1", (6, 1, 5, 5)),
            ("conv2", (16, 6, 5, 5)),
            ("fc1", (120, 400)),
            ("fc2", (84, 120)),
            ("fc3", (10, 84)),
        ),
    ),
    "mlp": Workload(
        "MLP",
        image=(784,),
        batch=128,
        optimizer="adam",
        rate=0.001,
        shapes=(("fc1", (512, 784)), ("fc2", (256, 512)), ("fc3", (10, 256))),
    ),
}
MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def weights(workload: Workload, seed: int = 0) -> dict[str, Array]:
    """The first weights by PyTorch's names, uniform within one over the root of the fan-in."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for layer, shape in workload.shapes:
        bound = float(np.prod(shape[1:])) ** -0.5
        for name, size in ((f"{layer}.weight", shape), (f"{layer}.bias", shape[:1])):
            found[name] = rng.uniform(-bound, bound, size).astype(np.float32)
    return found


def batches(workload: Workload, count: int, seed: int = 1) -> list[tuple[Array, Array]]:
    """``count`` batches: float32 images of unit variance, int64 labels."""
    rng = np.random.default_rng(seed)
    shape = (workload.batch, *workload.image)
    return [
        (
            rng.standard_normal(shape, dtype=np.float32),
            rng.integers(0, CLASSES, workload.batch),
        )
        for _ in range(count)
    ]
