"""A workload in, PyTorch's eager step out.

Variants name the memory format and the optimizer's implementation. ``build`` is shared with
compile_steps.py, which compiles the same network and loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networks
import torch
from contest import Contestant, Running
from kinds import Workload
from tasks import Wrap, make_optimizers, make_step, rewind
from weights import first_weights
from workloads import batches, find


@dataclass(frozen=True)
class Parts:
    """What both ways of running share."""

    workload: Workload
    model: Any
    batches: list[tuple[Any, Any]]
    first: dict[str, Any]

    def restore_weights(self) -> None:
        """The first weights again, in the tensors' own memory."""
        if self.model is not None:
            self.model.load_state_dict(self.first)


def build(contestant: Contestant, count: int) -> Parts:
    """The network with the first weights, and the batches, in the variant's memory format."""
    torch.set_num_threads(contestant.threads)
    workload = find(contestant.workload)
    model = networks.build(torch, workload)
    data = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(workload, count)]
    if "channels last" in contestant.variant:
        model.to(memory_format=torch.channels_last)
        data = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in data]
    if workload.leaf:
        data = [(x.requires_grad_(), y) for x, y in data]
    elif not workload.optimizer:
        model.eval()
    first = {name: torch.from_numpy(array) for name, array in first_weights(workload).items()}
    parts = Parts(workload, model, data, first)
    parts.restore_weights()
    return parts


def train(parts: Parts, kind: str, wrap: Wrap) -> Running:
    """The step with an optimizer of ``kind`` "fused" or "foreach", and how to begin again."""
    options = {kind: True} if parts.workload.optimizer else {}
    opts = make_optimizers(torch, parts.workload, parts.model, **options)
    step: Any = make_step(torch, parts.workload, parts.model, opts, wrap)
    if not opts and not parts.workload.leaf:
        step = torch.inference_mode()(step)

    def restore() -> None:
        parts.restore_weights()
        rewind(opts)

    return Running(parts.batches, step, as_arrays, restore)


def as_arrays(found: tuple[Any, ...]) -> list[Any]:
    """A step's results, in NumPy's hands."""
    return [x.detach().numpy() for x in found]


def prepare(contestant: Contestant, count: int) -> Running:
    """The eager step over ``count`` batches."""
    kind = contestant.variant.rsplit(", ", 1)[-1]
    return train(build(contestant, count), kind, lambda part: part)
