"""Steps that cannot be traced or that raise: the error, and state as it was before."""

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn


def jit(fn=None, **options):
    """The interpreter is the specification; the native backend has its own tests."""
    return engine.jit(fn, backend="interpreter", **options)


def batch(n):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    return engine.tensor(x), engine.tensor(rng.integers(0, 3, n))


def training():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    opt = engine.optim.Adam(model.parameters(), lr=0.01)

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


@pytest.mark.parametrize("ask", [bool, float, int, lambda t: t.item(), lambda t: t.numpy()])
def test_asking_for_data_names_the_users_line(ask):
    def step(x):
        return ask(x.sum())

    with pytest.raises(engine.TraceError, match="inside jit") as caught:
        jit(step)(engine.ones(2))
    first = str(caught.value).splitlines()[0]
    assert "test_jit_failures.py" in first
    assert "ask" in first


def test_state_is_as_before_when_the_step_raises():
    model, opt, plain = training()

    def failing(x, y):
        plain(x, y)
        engine.rand(3)
        model.note = x * 2
        raise ValueError("no")

    state = engine.get_rng_state().tolist()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    slots = [s.tolist() for v in opt.state.values() for s in v.values()]
    with pytest.raises(ValueError, match="no"):
        jit(failing)(*batch(4))
    assert all(engine.all(v == before[k]) for k, v in model.state_dict().items())
    assert [s.tolist() for v in opt.state.values() for s in v.values()] == slots
    assert engine.get_rng_state().tolist() == state
    assert all(p.grad is None for p in model.parameters())
    assert not hasattr(model, "note")
    assert engine.is_grad_enabled()
    plain(*batch(4))


def test_a_wrong_shape_is_the_users_error():
    _, _, plain = training()
    step = jit(plain)
    step(*batch(4))
    with pytest.raises(RuntimeError):
        step(engine.ones(4, 7), batch(4)[1])
    step(*batch(4))
    assert len(step.programs) == 1


def test_a_leaked_tensor_says_so():
    kept = []
    step = jit(lambda x: kept.append(x * 2))
    step(engine.ones(2))
    with pytest.raises(engine.TraceError, match="has ended"):
        kept[0].tolist()


def test_a_write_into_a_view_says_what_to_do():
    def step(x):
        y = (x * 2).view(-1)
        y += 1
        return y

    with pytest.raises(engine.TraceError, match="view inside jit"):
        jit(step)(engine.ones(2, 2))


def test_a_step_that_never_settles_says_why():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    model = Counting()
    step = jit(lambda x: model(x) + 1)
    x = engine.ones(1)
    assert [step(x).item() for _ in range(3)] == [2.0, 3.0, 4.0]
    with pytest.raises(engine.TraceError, match="calls changed"):
        [step(x) for _ in range(100)]


def test_options_are_checked():
    with pytest.raises(TypeError, match="no option"):
        engine.jit(lambda x: x, fast=True)
    with pytest.raises(ValueError, match="backend must be"):
        engine.jit(lambda x: x, backend="gpu")
