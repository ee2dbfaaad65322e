"""Layers, optimizers and files of PyTorch and of the engine from one state in, equal steps out.
Asks PyTorch live: run by `make parity`."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
import engine.optim
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((4, 3, 8, 8)).astype(np.float32)
STEPS = 8


def build(module: Any) -> Any:
    """A network with every kind of layer, over either library's ``nn``."""
    return module.Sequential(
        module.Conv2d(3, 8, 3, padding=1, bias=False),
        module.BatchNorm2d(8),
        module.ReLU(),
        module.MaxPool2d(2),
        module.Conv2d(8, 8, 3, groups=2, padding="same"),
        module.Tanh(),
        module.AvgPool2d(2),
        module.Flatten(),
        module.Linear(32, 16),
        module.Sigmoid(),
        module.Linear(16, 5),
    )


def pairs() -> tuple[Any, Any]:
    theirs = build(torch.nn)
    ours = build(nn)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


def test_same_text_names_and_shapes() -> None:
    ours, theirs = pairs()
    assert repr(ours) == repr(theirs)
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }


@pytest.mark.parametrize("mode", ["eager", "interpreter", "codegen"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("SGD", {"lr": 0.05}),
        ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}),
        ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
        ("Adam", {"lr": 1e-3, "weight_decay": 1e-2}),
        ("Adam", {"lr": 1e-3, "amsgrad": True, "maximize": True}),
        ("AdamW", {"lr": 1e-3, "betas": (0.8, 0.99)}),
    ],
    ids=str,
)
def test_steps(kind: str, options: dict[str, Any], mode: str) -> None:
    torch.manual_seed(0)
    ours, theirs = pairs()
    opt = getattr(engine.optim, kind)(ours.parameters(), **options)
    other = getattr(torch.optim, kind)(theirs.parameters(), **options)
    y = np.array([0, 1, 4, 2])

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(ours(x), y)
        loss.backward()
        opt.step()
        return loss

    run = step if mode == "eager" else engine.jit(step, backend=mode)
    for _ in range(STEPS):
        found = run(engine.tensor(IMAGE), engine.tensor(y))
        other.zero_grad()
        wanted = torch.nn.functional.cross_entropy(theirs(torch.tensor(IMAGE)), torch.tensor(y))
        wanted.backward()
        other.step()
        assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(
            ours.state_dict()[name].numpy(), value.numpy(), rtol=2e-3, atol=2e-4, err_msg=name
        )


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_optimizer_states_load_both_ways(kind: str) -> None:
    options = {"lr": 0.01, "momentum": 0.9} if kind == "SGD" else {"lr": 0.01}
    grads = RNG.standard_normal((6, 3)).astype(np.float32)
    found = []
    for first, second in ((torch, engine), (engine, torch)):
        start = np.ones(3, np.float32)
        p = first.nn.Parameter(first.tensor(start))
        opt = getattr(first.optim, kind)([p], **options)
        for grad in grads[:3]:
            p.grad = first.tensor(grad)
            opt.step()
        q = second.nn.Parameter(second.tensor(p.detach().numpy().copy()))
        other = getattr(second.optim, kind)([q], **options)
        state = opt.state_dict()
        for slots in state["state"].values():
            for name, value in slots.items():
                slots[name] = second.tensor(value.numpy().copy())
        other.load_state_dict(state)
        for grad in grads[3:]:
            q.grad = second.tensor(grad)
            other.step()
        found.append(q.detach().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_files_are_interchangeable(tmp_path: Path) -> None:
    safetensors_torch: ModuleType = pytest.importorskip("safetensors.torch")
    ours, theirs = pairs()
    engine.save(ours.state_dict(), tmp_path / "ours.safetensors")
    assert not theirs.load_state_dict(
        safetensors_torch.load_file(tmp_path / "ours.safetensors")
    ).missing_keys
    safetensors_torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    build(nn).load_state_dict(engine.load(tmp_path / "theirs.safetensors"))


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_stored_reference_is_what_pytorch_says(name: str, workloads: ModuleType) -> None:
    import json

    text = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())
    workload = workloads.WORKLOADS[name]
    model = workloads.networks(torch.nn, torch.nn.functional)[name]()
    model.load_state_dict({k: torch.tensor(v) for k, v in workload.weights().items()})
    opt = workloads.optimizer(torch.optim, name, model.parameters())
    for (x, y), stored in zip(workload.batches()[:10], text["losses"], strict=False):
        opt.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        opt.step()
        assert loss.item() == pytest.approx(stored, rel=1e-4)
