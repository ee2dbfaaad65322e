"""A seed in, the same weights and batches for PyTorch and for the engine out (NumPy only).

The numbers are drawn again on both sides, so that the stored reference holds results alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

STEPS = 50
SAMPLE = 4096  # entries kept of a large gradient

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Workload:
    """A network by its parameters' shapes, and how it is trained."""

    name: str
    shapes: dict[str, tuple[int, ...]]
    batch: int
    size: int
    flat: bool

    def weights(self) -> dict[str, Array]:
        """Every parameter, uniform within ``1/sqrt(fan_in)`` as PyTorch's layers begin."""
        rng, found, bound = np.random.default_rng(7), {}, 0.0
        for name, shape in self.shapes.items():
            if len(shape) > 1:  # a bias shares the bound of the weight before it
                bound = 1 / np.sqrt(np.prod(shape[1:]))
            found[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        return found

    def batches(self) -> list[tuple[Array, Array]]:
        """Digits in a seeded order, one batch a step."""
        raw, rng = load_digits(), np.random.default_rng(11)
        at = np.clip((np.arange(self.size) + 0.5) * 8 / self.size - 0.5, 0, 7)
        weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(8)))
        images = (weights @ (raw.images / 8.0 - 1.0) @ weights.T).astype(np.float32)
        images = images.reshape(len(images), -1) if self.flat else images[:, None]
        labels = raw.target.astype(np.int64)
        rows = rng.integers(0, len(images), (STEPS, self.batch))
        return [(np.array(images[i], order="C"), labels[i]) for i in rows]


LENET = Workload(
    "lenet",
    {
        "conv1.weight": (6, 1, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    },
    batch=64,
    size=32,
    flat=False,
)
MLP = Workload(
    "mlp",
    {
        "0.weight": (512, 784),
        "0.bias": (512,),
        "2.weight": (256, 512),
        "2.bias": (256,),
        "4.weight": (10, 256),
        "4.bias": (10,),
    },
    batch=128,
    size=28,
    flat=True,
)
WORKLOADS = {workload.name: workload for workload in (LENET, MLP)}


def sample(gradient: Array) -> Array:
    """All of a small gradient, a seeded choice of a large one's entries."""
    flat = gradient.ravel()
    if flat.size <= SAMPLE:
        return flat
    return flat[np.random.default_rng(flat.size).choice(flat.size, SAMPLE, replace=False)]


def networks(nn: Any, functional: Any) -> dict[str, Any]:
    """Both networks, written once over PyTorch's ``nn`` or the engine's."""

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5)
            self.pool = nn.MaxPool2d(2, 2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(functional.relu(self.conv1(x)))
            x = self.pool(functional.relu(self.conv2(x)))
            x = x.view(-1, 16 * 5 * 5)
            x = functional.relu(self.fc1(x))
            x = functional.relu(self.fc2(x))
            return self.fc3(x)

    def mlp() -> Any:
        parts = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU())
        return nn.Sequential(*parts, nn.Linear(256, 10))

    return {"lenet": Net, "mlp": mlp}


def optimizer(optim: Any, name: str, parameters: Any) -> Any:
    """The optimizer of a workload, PyTorch's or the engine's."""
    if name == "lenet":
        return optim.SGD(parameters, lr=0.01, momentum=0.9)
    return optim.Adam(parameters, lr=1e-3)
