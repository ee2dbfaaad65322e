"""PyTorch's own database of optimizers in: equal steps, and an error of the same kind for every
misuse in it. Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
common = pytest.importorskip("torch.testing._internal.common_optimizers")

NOT_HERE = {
    "SparseAdam": "there are no sparse tensors",
}
SHAPES = [(3, 4), (4,), ()]
MATRICES = [(3, 4), (6, 2)]
# Muon's matrices are bfloat16: one rounding the other way moves a step by up to a few percent
NEAR = {"Muon": {"rtol": 0.0, "atol": 1e-3}}
STEPS = 6


def known(info: Any) -> bool:
    return hasattr(engine.optim, info.optim_cls.__name__)


def inputs() -> list[Any]:
    return [
        pytest.param(info.optim_cls, case.kwargs, id=f"{info.optim_cls.__name__}: {case.desc}")
        for info in common.optim_db
        if known(info)
        for case in info.optim_inputs_func("cpu")
    ]


def misuses() -> list[Any]:
    """Constructions that must fail; complex parameters are no tensors here."""
    return [
        pytest.param(
            info.optim_cls,
            case.optimizer_error_input,
            case.error_type,
            id=f"{info.optim_cls.__name__}: {case.optimizer_error_input.desc}",
        )
        for info in common.optim_db
        if known(info)
        for case in info.optim_error_inputs_func("cpu", torch.float32)
        if case.error_on is common.OptimizerErrorEnum.CONSTRUCTION_ERROR
        and "complex" not in case.optimizer_error_input.desc
    ]


def translated(value: Any, known: dict[int, Any] | None = None) -> Any:
    """The same arguments with the engine's tensors; one that comes twice stays one."""
    known = {} if known is None else known
    if isinstance(value, dict):
        return {key: translated(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(translated(item, known) for item in value)
    if not isinstance(value, torch.Tensor):
        return value
    if id(value) not in known:
        made = engine.tensor(value.detach().numpy())
        known[id(value)] = nn.Parameter(made) if value.requires_grad else made
    return known[id(value)]


def test_all_are_here_but_these() -> None:
    missing = {info.optim_cls.__name__ for info in common.optim_db if not known(info)}
    assert missing == set(NOT_HERE)


@pytest.mark.parametrize("mode", ["eager", "interpreter"])
@pytest.mark.parametrize(("kind", "options"), inputs())
def test_steps(kind: Any, options: dict[str, Any], mode: str) -> None:
    rng = np.random.default_rng(0)
    shapes = MATRICES if kind.__name__ == "Muon" else SHAPES
    near = NEAR.get(kind.__name__, {"rtol": 1e-6, "atol": 1e-8})
    starts = [rng.standard_normal(shape) for shape in shapes]
    ours = [nn.Parameter(engine.tensor(x, dtype=engine.float64)) for x in starts]
    theirs = [torch.nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in starts]
    opt = getattr(engine.optim, kind.__name__)(ours, **translated(options))
    other = kind(theirs, **options)

    def closure(space: Any, params: list[Any], optimizer: Any) -> Any:
        optimizer.zero_grad()
        loss = sum(((p - 0.3) ** 2).sum() + space.sin(3 * p).sum() for p in params)
        loss.backward()
        return loss

    def step() -> Any:
        return opt.step(lambda: closure(engine, ours, opt))

    compiled = mode != "eager" and kind is not torch.optim.LBFGS
    run = engine.jit(step, backend=mode) if compiled else step
    for _ in range(STEPS):
        found, wanted = run(), other.step(lambda: closure(torch, theirs, other))
        total = float(wanted.detach())
        assert float(found) == pytest.approx(total, rel=1e-6, abs=10 * near["atol"])
        for mine, x in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.detach().numpy(), x.detach().numpy(), **near)
    assert not compiled or len(run.programs) == 1


@pytest.mark.parametrize(("kind", "case", "error"), misuses())
def test_errors(kind: Any, case: Any, error: type[Exception]) -> None:
    params = case.params if case.params is not None else [torch.nn.Parameter(torch.ones(2, 2))]
    own, options = translated(params), translated(case.kwargs)
    with pytest.raises(error):
        kind(params, **case.kwargs)
    with pytest.raises(error):
        getattr(engine.optim, kind.__name__)(own, **options)
