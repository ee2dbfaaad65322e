"""One script with hooks on tensors and modules, run by PyTorch and the engine: equal gradients.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:Full backward hook")]

X = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)


def arrays(grads: Any) -> list[Any]:
    return [None if grad is None else grad.detach().numpy().copy() for grad in grads]


def network(library: Any, layers: Any, log: list[Any]) -> tuple[Any, Any]:
    """A module of two inputs and outputs, and one after another, all with hooks."""

    class Two(layers.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = layers.Linear(5, 5), layers.Linear(5, 3)

        def forward(self, a: Any, b: Any) -> Any:
            return self.left(a) * b, self.right(a + b)

    two, row = Two(), layers.Sequential(layers.Linear(5, 4), layers.Tanh())
    random = np.random.default_rng(1)
    with library.no_grad():
        for param in [*two.parameters(), *row.parameters()]:
            value = random.standard_normal(tuple(param.shape)).astype(np.float32)
            param.copy_(library.tensor(value))

    def note(module: Any, inner: Any, outer: Any) -> None:
        log.extend([*arrays(inner), *arrays(outer)])

    for module in (two, two.left, row[0]):
        module.register_full_backward_hook(note)
    two.register_full_backward_hook(lambda m, inner, outer: tuple(g * 2 for g in inner))
    two.register_full_backward_pre_hook(lambda m, outer: tuple(g * 3 for g in outer))
    two.right.register_full_backward_hook(lambda m, inner, outer: (inner[0] * 0.5,))
    row[1].register_full_backward_hook(lambda m, inner, outer: (inner[0] * 1.5,))
    return two, row


def script(library: Any, layers: Any) -> list[Any]:
    log: list[Any] = []
    two, row = network(library, layers, log)
    a = library.tensor(X, requires_grad=True)
    b = library.tensor(X[::-1].copy(), requires_grad=True)
    a.register_hook(lambda g: g + 1)
    two.left.weight.register_hook(lambda g: g * 10)
    h = a * 2
    h.register_hook(lambda g: log.append(g.detach().numpy().copy()))
    h.register_hook(lambda g: g * 4)
    h.retain_grad()
    after: list[Any] = []
    bias = two.right.bias
    bias.register_post_accumulate_grad_hook(lambda p: after.extend(arrays([p.grad])))
    first, second = two(h, (h * b).exp() * 0.1)
    first.register_hook(lambda g: g * 0.7)
    loss = (first * first).sum() + second.sum() + row(library.tensor(X)).sum() + h.sum()
    loss.backward()
    leaves = [a, b, h, *two.parameters(), *row.parameters()]
    log += after + arrays([x.grad for x in leaves])
    y = (a * 3).sin()
    z = y * y
    y.register_hook(lambda g: g * 2)
    z.register_hook(lambda g: g * g)
    log += arrays(library.autograd.grad(z.sum(), [a, y], retain_graph=True))
    (slope,) = library.autograd.grad(z.sum() + y.sum(), [a], create_graph=True)
    log += arrays(library.autograd.grad(slope.sum(), [a]))
    return log


def test_eager() -> None:
    found, wanted = script(engine, nn), script(torch, torch.nn)
    assert len(found) == len(wanted)
    for own, other in zip(found, wanted, strict=True):
        if other is None:
            assert own is None
        else:
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)
