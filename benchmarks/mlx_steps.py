"""A workload in, MLX's step out, on its CPU device: LeNet and the MLP, compiled or not.

MLX keeps images with their channels last and weights of convolutions likewise. Optimizers are its
own. MLX is made for Apple's GPUs; on Linux ``pip install "mlx[cpu]"`` brings the CPU's part.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from contest import Contestant, Running, UnavailableError
from kinds import BETA2, EPSILON, MOMENTUM, Workload
from mlx import nn
from mlx.utils import tree_unflatten
from weights import first_weights
from workloads import batches, find


def prepare(contestant: Contestant, count: int) -> Running:
    """The step over ``count`` batches."""
    workload = find(contestant.workload)
    if workload.family not in ("convnet", "mlp") or not workload.optimizer:
        raise UnavailableError(f"{workload.title} is not written for MLX")
    mx.set_default_device(mx.cpu)
    network = Network(workload)
    first = [(name, _array(array)) for name, array in first_weights(workload).items()]
    optimizer = _optimizer(workload)
    optimizer.init(network.trainable_parameters())

    def restore() -> None:
        network.update(tree_unflatten([(name, mx.array(x)) for name, x in first]))
        fresh = _optimizer(workload)
        fresh.init(network.trainable_parameters())
        optimizer.state.clear()  # the compiled step holds on to this very dict
        optimizer.state.update(fresh.state)
        mx.eval(network.parameters(), optimizer.state)

    restore()
    gradient = nn.value_and_grad(network, lambda x, y: _loss(network(x), y))

    def step(x: Any, y: Any) -> Any:
        loss, grads = gradient(x, y)
        optimizer.update(network, grads)
        return loss

    whole = step
    if contestant.variant == "compile":
        state = [network.state, optimizer.state]
        whole = mx.compile(step, inputs=state, outputs=state)

    def run(x: Any, y: Any) -> Any:
        loss = whole(x, y)
        mx.eval(loss, network.parameters(), optimizer.state)  # nothing is computed before
        return loss

    data = [(_array(x), mx.array(y)) for x, y in batches(workload, count)]
    return Running(data, run, lambda found: [np.array(found)], restore)


class Network(nn.Module):  # type: ignore[misc,unused-ignore]
    """Convolutions with relu and pooling, if there are any, then linear layers."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        sizes = workload.sizes
        self.stages = len(sizes.get("channels", ()))
        widths = sizes.get("widths")
        if widths is None:
            channels, image = (1, *sizes["channels"]), sizes["image"]
            for at in range(1, self.stages + 1):
                conv = nn.Conv2d(channels[at - 1], channels[at], sizes["kernel"])
                setattr(self, f"conv{at}", conv)
                image = (image - sizes["kernel"] + 1) // 2
            widths = (channels[-1] * image**2, *sizes["hidden"], sizes["classes"])
        self.depth = len(widths) - 1
        for at in range(1, self.depth + 1):
            setattr(self, f"fc{at}", nn.Linear(widths[at - 1], widths[at]))

    def __call__(self, x: Any) -> Any:
        """[n, image, image, 1] or [n, width] -> [n, classes]."""
        for at in range(1, self.stages + 1):
            x = nn.MaxPool2d(2)(nn.relu(self[f"conv{at}"](x)))
        if self.stages:
            x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # as PyTorch flattens
        for at in range(1, self.depth):
            x = nn.relu(self[f"fc{at}"](x))
        return self[f"fc{self.depth}"](x)


def _loss(scores: Any, y: Any) -> Any:
    return nn.losses.cross_entropy(scores, y, reduction="mean")


def _optimizer(workload: Workload) -> Any:
    if workload.optimizer == "sgd":
        return optim.SGD(workload.rate, momentum=MOMENTUM)
    betas = [workload.beta1, BETA2]
    return optim.Adam(workload.rate, betas=betas, eps=EPSILON, bias_correction=True)


def _array(array: Any) -> Any:
    """Images and convolutions' weights with their channels last."""
    return mx.array(np.moveaxis(array, 1, -1) if array.ndim == 4 else array)
