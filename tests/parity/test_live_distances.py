"""Distances by products of matrices where PyTorch takes them, and their gradients, against it.
Asks PyTorch live: run by `make parity`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import engine

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def steps(module: Any, mode: str) -> Any:
    def step(x: Any, y: Any) -> tuple[Any, ...]:
        a, b = x.detach().requires_grad_(), y.detach().requires_grad_()
        far = module.cdist(a, b, compute_mode=mode)
        return far, *module.autograd.grad((far * far.detach()).sum() + far.sum(), [a, b])

    return step


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [(25, 25), (26, 3), (3, 26), (64, 40)])
def test_values_and_gradients_are_those_of_pytorch(rows: tuple[int, int], mode: str) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((2, n, 8)).astype(np.float32) for n in rows)
    x[0, 1], y[0, 2] = 0, 0  # no distance, by either formula
    wanted = steps(torch, mode)(torch.tensor(x), torch.tensor(y))
    ours = steps(engine, mode)
    for run in (ours, engine.jit(ours)):
        for a, b in zip(run(engine.tensor(x), engine.tensor(y)), wanted, strict=True):
            found = a.detach().numpy()
            np.testing.assert_allclose(found, b.detach().numpy(), rtol=2e-5, atol=2e-5)
