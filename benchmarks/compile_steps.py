"""A workload in, PyTorch's step through ``torch.compile`` (inductor) out.

"model" compiles network and loss and leaves the update to the fused optimizer, as most people do.
"whole step" compiles gradients and update too, as one functional graph: the same reach as ours.
nn.LSTM breaks the graph of the one, and the two optimizers of a GAN have no such form here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from contest import Contestant, Running, UnavailableError
from kinds import BETA2, DECAY, EPSILON, MOMENTUM, Workload
from tasks import loss_of
from torch_steps import Parts, as_arrays, build, train


def prepare(contestant: Contestant, count: int) -> Running:
    """The compiled step over ``count`` batches; UnavailableError without a C++ compiler."""
    compilers = [os.environ.get("CXX", ""), "g++", "clang++"]
    if not any(shutil.which(name) for name in compilers if name):
        raise UnavailableError("no C++ compiler (g++ or clang++) for inductor")
    parts = build(contestant, count)
    if contestant.variant.startswith("whole step"):
        return _train_whole(parts)
    options: dict[str, Any] = {"cpp_wrapper": True} if "cpp wrapper" in contestant.variant else {}
    if "freezing" in contestant.variant:
        options["freezing"] = True
    return train(parts, "fused", lambda part: torch.compile(part, options=options))


def _train_whole(parts: Parts) -> Running:
    """Loss, gradients and update in one compiled function over dictionaries of tensors."""
    params = {name: p.detach() for name, p in parts.model.named_parameters()}
    buffers = dict(parts.model.named_buffers())
    workload = parts.workload
    sgd = workload.optimizer == "sgd"
    slots = [{k: torch.zeros_like(p) for k, p in params.items()} for _ in range(1 if sgd else 2)]
    count = torch.zeros(())
    update: Callable[..., None] = _sgd if sgd else _adam

    def loss_at(params: dict[str, Any], x: Any, y: Any) -> Any:
        fresh = {name: b.clone() for name, b in buffers.items()}
        scores = torch.func.functional_call(parts.model, (params, fresh), (x,))
        return loss_of(torch, scores, y), fresh

    gradients = torch.func.grad_and_value(loss_at, has_aux=True)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        grads, (loss, fresh) = gradients(params, x, y)
        update(params, grads, slots, count, workload)
        for name, buffer in buffers.items():
            buffer.copy_(fresh[name])
        return (loss,)

    def restore() -> None:
        parts.restore_weights()
        for tensor in [count, *(slot for group in slots for slot in group.values())]:
            tensor.zero_()

    return Running(parts.batches, step, as_arrays, restore)


def _sgd(params: Any, grads: Any, slots: Any, count: Any, workload: Workload) -> None:
    for name, param in params.items():
        slots[0][name].mul_(MOMENTUM).add_(grads[name])
        param.sub_(slots[0][name], alpha=workload.rate)


def _adam(params: Any, grads: Any, slots: Any, count: Any, workload: Workload) -> None:
    count.add_(1)
    first, second = 1 - workload.beta1**count, 1 - BETA2**count
    decay = DECAY if workload.optimizer == "adamw" else 0.0
    for name, param in params.items():
        grad, (mean, square) = grads[name], (group[name] for group in slots)
        mean.lerp_(grad, 1 - workload.beta1)
        square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
        param.mul_(1 - workload.rate * decay)
        param.sub_(workload.rate / first * mean / ((square / second).sqrt() + EPSILON))
