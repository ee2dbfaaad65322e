"""Devices in, the one that there is or an error that says so out."""

import pytest

import engine
from engine import nn

needs_none = pytest.mark.skipif(engine.cuda.is_available(), reason="there is a GPU here")


def test_scripts_that_ask_run_anywhere() -> None:
    device = engine.device("cuda" if engine.cuda.is_available() else "cpu")
    x = engine.ones(3).to(device)
    assert x.device.type == device.type
    net = nn.Linear(3, 2).to(device)
    assert net(x).shape == (2,)
    assert engine.cuda.device_count() == int(engine.cuda.is_available())


def test_tensors_of_the_cpu() -> None:
    x = engine.ones(3)
    assert x.device == engine.device("cpu")
    assert x.is_cpu
    assert not x.is_cuda
    assert x.get_device() == -1
    assert x.to("cpu") is x
    assert x.cpu() is x
    copy = x.to("cpu", copy=True)
    copy.fill_(2.0)
    assert x.tolist() == [1, 1, 1]
    assert not x.is_pinned()
    assert engine.zeros(2, device=engine.device("cpu")).device.type == "cpu"


def test_names() -> None:
    assert str(engine.device("cuda:1")) == "cuda:1"
    assert engine.device("cuda", 1) == engine.device("cuda:1") == engine.device(1)
    assert repr(engine.device("cpu")) == "device(type='cpu')"
    assert engine.device("cuda:1").index == 1
    for wrong in ("gpu", "cuda:", "cuda:x", ""):
        with pytest.raises(RuntimeError, match="names no device"):
            engine.device(wrong)


@needs_none
def test_a_gpu_is_refused_with_the_reason_and_what_to_ask() -> None:
    assert engine.cuda.why_not()
    net = nn.Linear(2, 2)
    moves = (
        engine.ones(2).to,
        net.to,
        lambda device: engine.zeros(2, device=device),
        lambda device: nn.Linear(2, 2, device=device),
        lambda device: net.cuda(),
        lambda device: engine.ones(2).pin_memory(),
        lambda device: engine.cuda.synchronize(),
    )
    for move in moves:
        with pytest.raises(RuntimeError, match=r"no device 'cuda': [\s\S]*is_available"):
            move("cuda")
    assert net.weight.device.type == "cpu"
    engine.cuda.empty_cache()


def test_loaders_that_pin_go_on_without_a_gpu() -> None:
    data = engine.utils.data.TensorDataset(engine.arange(4))
    for (x,) in engine.utils.data.DataLoader(data, 2, pin_memory=True):
        assert x.shape == (2,)
        assert x.is_pinned() == engine.cuda.is_available()


def test_what_the_engine_makes_is_nobodys() -> None:
    """A constant of the engine's own goes along; a parameter is the CPU's."""
    assert nn.Linear(2, 2).weight._cell.home == "cpu"
    assert nn.BatchNorm1d(2).running_mean._cell.home == "cpu"
    assert engine.ones(2)._cell.home == "cpu"
    assert (engine.ones(2) * 2)._cell.home == "cpu"
    optimizer = engine.optim.Adam(nn.Linear(2, 2).parameters())
    slots = next(iter(optimizer.state.values()))
    assert {slot._cell.home for slot in slots.values()} == {None}
