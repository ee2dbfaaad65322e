"""A workload in, PyTorch's step through ``torch.compile`` (inductor) out.

"model" compiles network and loss and leaves the update to the fused optimizer, as most people do.
"whole step" compiles gradients and update too, as one functional graph: the same reach as ours.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from contest import Contestant, Running, UnavailableError
from torch_steps import Parts, build, make_optimizer, train
from workloads import BETA1, BETA2, EPSILON, MOMENTUM, WORKLOADS, Workload


def prepare(contestant: Contestant, count: int) -> Running:
    """The compiled step over ``count`` batches; UnavailableError without a C++ compiler."""
    compilers = [os.environ.get("CXX", ""), "g++", "clang++"]
    if not any(shutil.which(name) for name in compilers if name):
        raise UnavailableError("no C++ compiler (g++ or clang++) for inductor")
    parts = build(contestant, count)
    if contestant.variant.startswith("whole step"):
        return _train_whole(parts, WORKLOADS[contestant.workload])
    options: dict[str, Any] = {"cpp_wrapper": True} if "cpp wrapper" in contestant.variant else {}
    loss_of = torch.compile(lambda x, y: F.cross_entropy(parts.model(x), y), options=options)
    return train(parts, loss_of, make_optimizer(contestant, parts.model, "fused"))


def _train_whole(parts: Parts, workload: Workload) -> Running:
    """Loss, gradients and update in one compiled function over dictionaries of tensors."""
    params = {name: p.detach() for name, p in parts.model.named_parameters()}
    sgd = workload.optimizer == "sgd"
    slots = [{k: torch.zeros_like(p) for k, p in params.items()} for _ in range(1 if sgd else 2)]
    count = torch.zeros(())
    update: Callable[..., None] = _sgd if sgd else _adam

    def loss_of(params: dict[str, Any], x: Any, y: Any) -> Any:
        return F.cross_entropy(torch.func.functional_call(parts.model, params, (x,)), y)

    gradients = torch.func.grad_and_value(loss_of)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        grads, loss = gradients(params, x, y)
        update(params, grads, slots, count, workload.rate)
        return loss

    def restore() -> None:
        parts.restore_weights()
        for tensor in [count, *(slot for group in slots for slot in group.values())]:
            tensor.zero_()

    return Running(parts.batches, step, lambda loss: float(loss.item()), restore)


def _sgd(params: Any, grads: Any, slots: Any, count: Any, rate: float) -> None:
    for name, param in params.items():
        slots[0][name].mul_(MOMENTUM).add_(grads[name])
        param.sub_(slots[0][name], alpha=rate)


def _adam(params: Any, grads: Any, slots: Any, count: Any, rate: float) -> None:
    count.add_(1)
    first, second = 1 - BETA1**count, 1 - BETA2**count
    for name, param in params.items():
        grad, (mean, square) = grads[name], (group[name] for group in slots)
        mean.lerp_(grad, 1 - BETA1)
        square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
        param.sub_(rate / first * mean / ((square / second).sqrt() + EPSILON))
