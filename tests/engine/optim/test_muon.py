"""Matrices and gradients in: a step of Muon is nearly orthogonal, and the same inside a step."""

import math

import numpy as np
import pytest

import engine as torch
from engine import nn


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_has_singular_values_near_one(shape: tuple[int, int], compiled: bool) -> None:
    weight = nn.Parameter(torch.zeros(*shape))
    optimizer = torch.optim.Muon([weight], lr=0.5, weight_decay=0.0)
    grad = torch.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))

    def step(grad: torch.Tensor) -> None:
        optimizer.zero_grad()
        (weight * grad).sum().backward()
        optimizer.step()

    (torch.jit(step) if compiled else step)(grad)
    moved = -weight.detach().numpy() / (0.5 * math.sqrt(max(1, shape[0] / shape[1])))
    u, _, v = np.linalg.svd(grad.numpy(), full_matrices=False)
    values = np.diag(u.T @ moved @ v.T)
    assert ((values > 0.6) & (values < 1.3)).all()
    assert list(optimizer.state_dict()["state"][0]) == ["momentum_buffer"]


def test_misuse() -> None:
    with pytest.raises(ValueError, match="only supports 2D"):
        torch.optim.Muon([nn.Parameter(torch.zeros(3))])
    with pytest.raises(ValueError, match="is not supported"):
        torch.optim.Muon([nn.Parameter(torch.zeros(3, 3))], adjust_lr_fn="other")
