"""Writing by index against PyTorch: values and gradients, eager and compiled, open batch sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

Write = Callable[[Any, Any, Any], Any]


def assigned(x: Any, v: Any, i: Any) -> Any:
    y = x * 1
    y[:, i] = v
    return y


def added(x: Any, v: Any, i: Any) -> Any:
    y = x * 1
    y[:, i[:2]] += v[:, :2]
    return y


WRITES: dict[str, Write] = {
    "x[:, i] = v": assigned,
    "x[:, i] += v": added,
    "index_put": lambda x, v, i: x.mT.index_put((i,), v.mT, accumulate=True),
    "index_add": lambda x, v, i: x.index_add(1, i, v, alpha=-2),
    "index_copy": lambda x, v, i: x.index_copy(1, i, v),
    "index_reduce prod": lambda x, v, i: x.index_reduce(1, i, v, "prod"),
    "index_reduce amax": lambda x, v, i: x.index_reduce(1, i, v, "amax"),
}


def differentiated(write: Write, grad: Any) -> Callable[..., list[Any]]:
    def step(x: Any, v: Any, i: Any) -> list[Any]:
        out = write(x, v, i)
        return [out, *grad((out * out * 0.5 + out).sum(), [x, v])]

    return step


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("name", WRITES)
def test_writes(name: str) -> None:
    rng = np.random.default_rng(0)
    eager = differentiated(WRITES[name], engine.autograd.grad)
    compiled = engine.jit(eager)
    theirs = differentiated(WRITES[name], torch.autograd.grad)
    for batch in (2, 3, 5):
        x = rng.standard_normal((batch, 4))
        v = rng.integers(-1, 3, (batch, 3)).astype(np.float64)  # zeros and equal values too
        places = np.array([0, 2, 0])
        wanted = theirs(
            *(torch.tensor(a, requires_grad=True) for a in (x, v)), torch.tensor(places)
        )
        for run in (eager, compiled):
            found = run(
                *(engine.tensor(a, requires_grad=True) for a in (x, v)), engine.tensor(places)
            )
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)
