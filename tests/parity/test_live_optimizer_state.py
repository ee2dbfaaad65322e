"""State dicts of optimizers from PyTorch into the engine and back, equal training out.
Asks PyTorch live: run by `make parity`."""

import inspect
from typing import Any

import numpy as np
import pytest

import engine
import engine.optim
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

GRADS = np.random.default_rng(0).standard_normal((12, 2, 3)).astype(np.float32)
START = np.arange(-2, 4, dtype=np.float32).reshape(2, 3)
KINDS = [
    *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta"),
    *("Rprop", "ASGD", "Adafactor", "LBFGS"),
]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True, "foreach": True}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "fused": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adagrad", {"initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("Rprop", {}),
    ("ASGD", {"t0": 3.0}),
    ("Adafactor", {"weight_decay": 0.1}),
]


def made(kind: str, options: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    ours, theirs = nn.Parameter(engine.tensor(START)), torch.nn.Parameter(torch.tensor(START))
    opt = getattr(engine.optim, kind)([ours], **options)
    return ours, opt, theirs, getattr(torch.optim, kind)([theirs], **options)


def train(param: Any, optimizer: Any, grads: Any) -> None:
    make = torch.tensor if isinstance(param, torch.Tensor) else engine.tensor
    for grad in grads:
        param.grad = make(grad)
        optimizer.step()


def for_torch(state: dict[str, Any]) -> dict[str, Any]:
    """Our state dict with PyTorch's tensors."""
    slots = {
        at: {name: torch.tensor(value.numpy()) for name, value in found.items()}
        for at, found in state["state"].items()
    }
    return {"state": slots, "param_groups": state["param_groups"]}


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 2e-5, 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_signatures(kind: str) -> None:
    ours, theirs = (inspect.signature(getattr(x, kind)) for x in (engine.optim, torch.optim))
    mine = [(p.name, p.kind, p.default) for p in ours.parameters.values()]
    assert mine == [(p.name, p.kind, p.default) for p in theirs.parameters.values()]
    _, opt, _, other = made(kind, {})
    wanted = {k: v for k, v in other.param_groups[0].items() if k != "params"}
    assert {k: v for k, v in opt.param_groups[0].items() if k != "params"} == wanted


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_from_pytorch(kind: str, options: dict[str, Any], steps: int) -> None:
    _, _, theirs, other = made(kind, options)
    train(theirs, other, GRADS[:steps])
    ours, opt, _, _ = made(kind, {"lr": 9.0})
    train(ours, opt, GRADS[5:8])  # what it learned must be forgotten
    with engine.no_grad():
        ours.copy_(engine.tensor(theirs.detach().numpy()))
    opt.load_state_dict(other.state_dict())
    assert opt.param_groups[0]["lr"] == other.param_groups[0]["lr"]
    train(ours, opt, GRADS[steps:])
    train(theirs, other, GRADS[steps:])
    close(ours, theirs)


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_to_pytorch(kind: str, options: dict[str, Any], steps: int) -> None:
    ours, opt, _, _ = made(kind, options)
    train(ours, opt, GRADS[:steps])
    _, _, theirs, other = made(kind, {"lr": 9.0})
    with torch.no_grad():
        theirs.copy_(torch.tensor(ours.detach().numpy()))
    other.load_state_dict(for_torch(opt.state_dict()))
    train(ours, opt, GRADS[steps:])
    train(theirs, other, GRADS[steps:])
    close(ours, theirs)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_keys(kind: str, options: dict[str, Any], steps: int) -> None:
    ours, opt, theirs, other = made(kind, options)
    train(ours, opt, GRADS[:steps])
    train(theirs, other, GRADS[:steps])
    mine, wanted = opt.state_dict(), other.state_dict()
    assert mine["param_groups"] == wanted["param_groups"]
    own = {at: set(slots) for at, slots in mine["state"].items()}
    filled = {  # PyTorch's SGD keeps a None where it needs no buffer
        at: {name for name, value in slots.items() if value is not None}
        for at, slots in wanted["state"].items()
    }
    assert own == {at: names for at, names in filled.items() if names}


def test_two_groups_with_names_and_a_parameter_without_gradient() -> None:
    shapes = [(2, 3), (4,), (3,)]
    ours = [nn.Parameter(engine.ones(*s)) for s in shapes]
    theirs = [torch.nn.Parameter(torch.ones(s)) for s in shapes]
    made = [
        space.AdamW(
            [
                {"params": [("a", p[0])], "lr": 0.1, "note": "first"},
                {"params": [("b", p[1]), ("c", p[2])], "weight_decay": 0.5},
            ]
        )
        for space, p in ((engine.optim, ours), (torch.optim, theirs))
    ]
    for p, make in ((ours, engine.ones), (theirs, torch.ones)):
        p[0].grad, p[2].grad = make(2, 3), make(3)
    for optimizer in made:
        optimizer.step()
    mine, wanted = (optimizer.state_dict() for optimizer in made)
    assert mine["param_groups"] == wanted["param_groups"]
    assert set(mine["state"]) == set(wanted["state"]) == {0, 2}
    made[1].load_state_dict(for_torch(mine))
    made[0].load_state_dict(wanted)


def misuses(space: Any, parameter: Any, ones: Any) -> list[tuple[type[Exception], Any]]:
    """Kinds of error, and calls that must raise them."""
    p, q = parameter(ones(2)), parameter(ones(3))

    def add(params: Any) -> None:
        space.SGD([p]).add_param_group(params)

    return [
        (TypeError, lambda: space.SGD(p)),
        (TypeError, lambda: space.SGD([p, "q"])),
        (TypeError, lambda: add([q])),
        (TypeError, lambda: add({"params": {q}})),
        (ValueError, lambda: add({"params": [p]})),
        (ValueError, lambda: add({"params": [("q", q)]})),
        (ValueError, lambda: space.SGD([])),
        (ValueError, lambda: space.SGD([p * 2])),
        (ValueError, lambda: space.SGD([p], lr=ones(2))),
        (ValueError, lambda: space.SGD([("a", p), q])),
        (RuntimeError, lambda: space.Adam([p], fused=True, foreach=True)),
        (RuntimeError, lambda: space.SGD([p], fused=True, differentiable=True)),
        (ValueError, lambda: space.LBFGS([{"params": [p]}, {"params": [q]}])),
        (ValueError, lambda: space.SGD([p]).load_state_dict(space.SGD([p, q]).state_dict())),
        (ValueError, lambda: space.Adafactor([p], d=0.5)),
        (ValueError, lambda: space.Adafactor([p], beta2_decay=0.5)),
        (ValueError, lambda: space.Adafactor([p], eps=(-1.0, 1e-3))),
    ]


def test_errors() -> None:
    ours = misuses(engine.optim, nn.Parameter, engine.ones)
    theirs = misuses(torch.optim, torch.nn.Parameter, torch.ones)
    for kind, call in [*ours, *theirs]:
        with pytest.raises(kind):
            call()
