"""The same gradients into PyTorch's Muon and the engine's: equal within bfloat16's roundings.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parity

CASES: list[dict[str, Any]] = [
    {},
    {"lr": 0.05, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
    {"momentum": 0.3, "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "weight_decay": 0.0},
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("shape", [(3, 5), (8, 4), (32, 48)])
def test_twenty_steps(shape: tuple[int, int], options: dict[str, Any], compiled: bool) -> None:
    random = np.random.default_rng(0)
    start = random.standard_normal(shape).astype(np.float32)
    ours, theirs = nn.Parameter(engine.tensor(start)), torch.nn.Parameter(torch.tensor(start))
    opt, other = engine.optim.Muon([ours], **options), torch.optim.Muon([theirs], **options)

    def step(grad: engine.Tensor) -> None:
        opt.zero_grad()
        (ours * grad).sum().backward()
        opt.step()

    run = engine.jit(step) if compiled else step
    for _ in range(20):
        grad = random.standard_normal(shape).astype(np.float32)
        run(engine.tensor(grad))
        theirs.grad = torch.tensor(grad)
        other.step()
    rate = options.get("lr", 1e-3)
    near = {"rtol": 1e-6, "atol": 0.05 * rate}  # a bfloat16 has eight bits
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **near)
    buffers = [opt.state[ours]["momentum_buffer"], other.state[theirs]["momentum_buffer"]]
    np.testing.assert_allclose(*[b.numpy() for b in buffers], rtol=1e-5, atol=1e-6)
    mine, yours = opt.state_dict(), other.state_dict()
    assert mine["param_groups"] == yours["param_groups"]
    assert list(mine["state"][0]) == list(yours["state"][0])
