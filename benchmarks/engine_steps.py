"""A workload in, its step as one ``@engine.jit`` program out, as a user would write it."""

from __future__ import annotations

from typing import Any

import networks
from contest import Contestant, Running
from tasks import make_optimizers, make_step, rewind
from weights import first_weights
from workloads import batches, find

import engine as torch


def prepare(contestant: Contestant, count: int) -> Running:
    """The step over ``count`` batches; threads come from TRACEFUSE_NUM_THREADS."""
    workload = find(contestant.workload)
    model = networks.build(torch, workload)
    first = {name: torch.from_numpy(array) for name, array in first_weights(workload).items()}
    opts = make_optimizers(torch, workload, model)

    def restore() -> None:
        if model is not None:
            model.load_state_dict(first)
        rewind(opts)

    restore()
    inference = not workload.optimizer and not workload.leaf
    if inference:
        model.eval()
    plain = make_step(torch, workload, model, opts, wrap=lambda part: part)

    @torch.jit
    def step(x: Any, y: Any) -> Any:
        if inference:
            with torch.no_grad():
                return plain(x, y)
        return plain(x, y)

    data = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(workload, count)]
    if workload.leaf:
        data = [(x.requires_grad_(), y) for x, y in data]
    return Running(data, step, lambda found: [x.detach().numpy() for x in found], restore)
