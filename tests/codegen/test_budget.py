"""Steps and budgets of bytes in, arenas within them and the same results out."""

import numpy as np
import pytest

import engine
from engine import nn
from engine.nn import functional as F
from engine.sizes import bytes_of
from ir.errors import MemoryBudgetError

BATCH = 128


def chain(depth):
    """Equal layers whose activations are large beside their weights."""
    layers = [part for _ in range(depth) for part in (nn.Linear(16, 16), nn.GELU())]
    return nn.Sequential(nn.Linear(8, 16), *layers, nn.Linear(16, 3))


def convolutions():
    # no bias: before a normalisation its gradient is rounding, which Adam makes as large as any
    blocks = [
        part
        for _ in range(3)
        for part in (nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    ]
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *blocks, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
    return nn.Sequential(net, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(3))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.blocks = nn.ModuleList([nn.Linear(16, 16) for _ in range(5)])
        self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in range(5)])
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        x = self.first(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = x + F.dropout(F.silu(block(norm(x))), 0.1, self.training)
        return self.last(x)


SHAPES = {"chain": (BATCH, 8), "residual": (BATCH, 8), "convolutions": (16, 1, 12, 12)}


def make(name):
    engine.manual_seed(0)
    net = {"chain": lambda: chain(8), "residual": Residual, "convolutions": convolutions}[name]()
    x = engine.randn(*SHAPES[name])
    y = engine.arange(SHAPES[name][0]) % 3
    net(x)
    return net, x, y


def trained(name, memory, steps=3):
    """Losses and weights after some steps, and the jitted step."""
    net, x, y = make(name)
    optimizer = engine.optim.Adam(net.parameters(), lr=1e-2)
    engine.manual_seed(1)

    @engine.jit(memory=memory)
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, y).item() for _ in range(steps)]
    return losses, {key: value.numpy() for key, value in net.state_dict().items()}, step


def smallest(name):
    with pytest.raises(MemoryBudgetError, match="at least") as caught:
        trained(name, memory=1)
    return caught.value


@pytest.mark.parametrize("name", list(SHAPES))
def test_the_smallest_budget_gives_the_same_training(name):
    losses, weights, plain = trained(name, None)
    least = smallest(name)
    assert least.smallest < 0.8 * least.plain
    again, found, step = trained(name, least.smallest)
    (entry,) = step.programs
    assert (
        entry.bound.program.arena_bytes
        <= least.smallest
        < plain.programs[0].bound.program.arena_bytes
    )
    assert entry.bound.program.report.repeated
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    for key, value in weights.items():
        np.testing.assert_allclose(found[key], value, rtol=2e-4, atol=2e-5, err_msg=key)
    assert "computed twice" in step.explain()


def test_memory_grows_as_the_root_of_the_depth():
    """Four times the layers: four times the activations, about twice the segments."""

    def least(depth):
        net = chain(depth)
        step = engine.jit(
            lambda x: engine.autograd.grad(net(x).sum(), list(net.parameters())), memory=1
        )
        with pytest.raises(MemoryBudgetError) as caught:
            step(engine.randn(BATCH, 8))
        return caught.value

    shallow, deep = least(6), least(24)
    assert deep.plain > 3 * shallow.plain
    assert deep.smallest < 2.6 * shallow.smallest


def test_a_budget_that_holds_changes_nothing():
    _, _, step = trained("chain", "1 GB", steps=1)
    assert step.programs[0].bound.program.report.repeated == 0


def test_a_budget_that_cannot_be_kept_leaves_all_as_it_was():
    net, x, y = make("chain")
    optimizer = engine.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    before = {key: value.numpy().copy() for key, value in net.state_dict().items()}

    @engine.jit(memory=1000)
    def step(x, y):
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(MemoryBudgetError, match=r"step: intermediates take at least .* MiB"):
        step(x, y)
    assert not step.programs
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert all(p.grad is None for p in net.parameters())


def test_every_size_is_planned():
    double = engine.jit(lambda x: (x.exp() * 2).sum(), memory="10 MB")
    for rows in (3, 5, 9):
        double(engine.ones(rows, 4))
    assert len(double.programs) == 3
    assert "known sizes" in double.explain()


def test_the_interpreter_has_no_plan():
    with pytest.raises(ValueError, match="native kernels"):
        engine.jit(lambda x: x, memory=100, backend="interpreter")


@pytest.mark.parametrize(
    ("text", "size"),
    [(7, 7), ("7", 7), ("300 MB", 300_000_000), ("1.5GiB", 3 << 29), (" 2 kb ", 2000)],
)
def test_sizes(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "MB", "3 apples", "1.2.3 MB", ".", 0, -4, "0 MB", 1.5, True])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"bytes"):
        bytes_of(text)
