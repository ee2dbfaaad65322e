"""Losses in, the same quasi-Newton steps as PyTorch's out. Asks PyTorch live: run by
`make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
DATA, TARGET = RNG.standard_normal((30, 4)), RNG.standard_normal((30, 1))


def rosenbrock(space: Any, p: Any, q: Any) -> Any:
    x = space.cat([p.reshape(-1), q])
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def network(space: Any, p: Any, q: Any) -> Any:
    data = space.tensor(DATA, dtype=space.float64)
    out = (data[:, :2] @ p).tanh() @ q.reshape(2, 1)
    return ((out - space.tensor(TARGET, dtype=space.float64)) ** 2).mean()


def steep(space: Any, p: Any, q: Any) -> Any:
    return (p**4).sum() + (q - 3).abs().sum() + space.exp(q).sum()


CASES: list[tuple[Any, dict[str, Any]]] = [
    (rosenbrock, {"lr": 1e-3}),
    (rosenbrock, {"line_search_fn": "strong_wolfe"}),
    (rosenbrock, {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 5}),
    (network, {"lr": 0.3}),
    (network, {"lr": 0.3, "history_size": 2, "max_iter": 4, "max_eval": 3}),
    (network, {"line_search_fn": "strong_wolfe"}),
    (network, {"line_search_fn": "strong_wolfe", "lr": 3.0, "max_eval": 6}),
    (steep, {"line_search_fn": "strong_wolfe", "max_iter": 6}),
    (steep, {"lr": 0.05, "max_iter": 6}),
]


def optimizer(space: Any, parameter: Any, options: dict[str, Any]) -> tuple[list[Any], Any]:
    start = space.tensor([[0.4, -0.6], [0.9, 0.2]], dtype=space.float64)
    params = [parameter(start), parameter(space.tensor([-0.7, 0.5], dtype=space.float64))]
    return params, space.optim.LBFGS(params, **options)


def step(space: Any, loss: Any, params: list[Any], opt: Any) -> float:
    def closure() -> Any:
        opt.zero_grad()
        value = loss(space, *params)
        value.backward()
        return value

    return float(opt.step(closure).detach())


def close(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), 1e-7, 1e-9)


@pytest.mark.parametrize(("loss", "options"), CASES, ids=str)
def test_steps(loss: Any, options: dict[str, Any]) -> None:
    ours, opt = optimizer(engine, nn.Parameter, options)
    theirs, other = optimizer(torch, torch.nn.Parameter, options)
    for _ in range(10):
        found, wanted = step(engine, loss, ours, opt), step(torch, loss, theirs, other)
        assert found == pytest.approx(wanted, rel=1e-7, abs=1e-12)
        close(ours, theirs)
        mine, state = opt.state[ours[0]], other.state[theirs[0]]
        assert (mine["n_iter"], mine["func_evals"]) == (state["n_iter"], state["func_evals"])
    assert set(opt.state_dict()["state"][0]) == set(other.state_dict()["state"][0])


def for_torch(value: Any) -> Any:
    if isinstance(value, list):
        return [for_torch(item) for item in value]
    return torch.tensor(value.numpy()) if isinstance(value, engine.Tensor) else value


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_state_goes_both_ways(search: str | None) -> None:
    options = {"lr": 0.3, "max_iter": 3, "line_search_fn": search}
    ours, opt = optimizer(engine, nn.Parameter, options)
    theirs, other = optimizer(torch, torch.nn.Parameter, options)
    for _ in range(2):
        step(engine, network, ours, opt)
        step(torch, network, theirs, other)
    saved, wanted = opt.state_dict(), other.state_dict()
    slots = {name: for_torch(value) for name, value in saved["state"][0].items()}
    third, fresh = optimizer(torch, torch.nn.Parameter, {})
    fourth, new = optimizer(engine, nn.Parameter, {})
    for mine, theirs_now, a, b in zip(ours, theirs, third, fourth, strict=True):
        a.data = torch.tensor(mine.detach().numpy().copy())
        b.data = engine.tensor(theirs_now.detach().numpy().copy())
    fresh.load_state_dict({"state": {0: slots}, "param_groups": saved["param_groups"]})
    new.load_state_dict(wanted)
    for _ in range(3):
        step(engine, network, ours, opt)
        step(torch, network, theirs, other)
        step(torch, network, third, fresh)
        step(engine, network, fourth, new)
    close(ours, theirs)
    close(ours, third)
    close(fourth, theirs)


def test_errors() -> None:
    for space, parameter in ((engine, nn.Parameter), (torch, torch.nn.Parameter)):
        params, opt = optimizer(space, parameter, {"line_search_fn": "other"})
        with pytest.raises(RuntimeError, match="strong_wolfe"):
            step(space, network, params, opt)
        with pytest.raises(TypeError):
            opt.step()
