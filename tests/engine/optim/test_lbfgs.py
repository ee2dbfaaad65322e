"""Smooth losses in, their minima after a few quasi-Newton steps out."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn

SPD = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]])
RIGHT = np.array([1.0, -2.0, 3.0])


def quadratic(p: Any) -> Any:
    return 0.5 * p @ engine.tensor(SPD) @ p - engine.tensor(RIGHT) @ p


def rosenbrock(p: Any) -> Any:
    return 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2


def minimise(loss: Any, start: Any, steps: int = 3, **options: Any) -> tuple[Any, Any]:
    p = nn.Parameter(engine.tensor(np.asarray(start, np.float64)))
    opt = engine.optim.LBFGS([p], **options)

    def closure() -> Any:
        opt.zero_grad()
        value = loss(p)
        value.backward()
        return value

    for _ in range(steps):
        opt.step(closure)
    return p.detach().numpy(), opt


@pytest.mark.parametrize("options", [{"lr": 0.5}, {"line_search_fn": "strong_wolfe"}], ids=str)
def test_quadratic(options: dict[str, Any]) -> None:
    found, _ = minimise(quadratic, [0.0, 0.0, 0.0], tolerance_change=1e-15, **options)
    np.testing.assert_allclose(found, np.linalg.solve(SPD, RIGHT), rtol=1e-6)


def test_rosenbrock() -> None:
    options = {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-15}
    found, opt = minimise(rosenbrock, [-1.2, 1.0], steps=4, **options)
    np.testing.assert_allclose(found, [1.0, 1.0], rtol=1e-5)
    assert next(iter(opt.state.values()))["func_evals"] < 100


def test_limits() -> None:
    _, opt = minimise(rosenbrock, [-1.2, 1.0], 1, lr=1e-2, max_iter=3, max_eval=9)
    state = opt.state_dict()["state"][0]
    assert (state["n_iter"], state["func_evals"]) == (3, 3)
    _, opt = minimise(rosenbrock, [-1.2, 1.0], 1, lr=1e-2, history_size=2, max_eval=6)
    state = opt.state_dict()["state"][0]
    assert len(state["old_dirs"]) <= 2
    assert state["func_evals"] == 6
    _, opt = minimise(rosenbrock, [1.0, 1.0], 1)
    assert opt.state_dict()["state"][0]["n_iter"] == 0  # nothing to do at the minimum


def test_a_closure_may_call_a_compiled_step() -> None:
    p = nn.Parameter(engine.zeros(3, dtype=engine.float64))
    opt = engine.optim.LBFGS([p], line_search_fn="strong_wolfe", tolerance_change=1e-15)

    @engine.jit(backend="interpreter")
    def closure() -> Any:
        opt.zero_grad()
        value = quadratic(p)
        value.backward()
        return value

    opt.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), np.linalg.solve(SPD, RIGHT), rtol=1e-6)
    assert len(closure.programs) == 1


def test_misuse() -> None:
    p = nn.Parameter(engine.zeros(3))
    opt = engine.optim.LBFGS([p])
    with pytest.raises(TypeError, match="closure"):
        opt.step()
    with pytest.raises(engine.Unsupported, match="inside jit"):
        engine.jit(lambda: opt.step(p.sum), backend="interpreter")()
    with pytest.raises(ValueError, match="parameter groups"):
        engine.optim.LBFGS([{"params": [p]}, {"params": [nn.Parameter(engine.ones(1))]}])
