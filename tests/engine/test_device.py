"""Devices in, the one that there is or an error that says so out."""

import pytest

import engine
from engine import nn


def test_scripts_that_ask_go_on_on_the_cpu() -> None:
    device = engine.device("cuda" if engine.cuda.is_available() else "cpu")
    assert device.type == "cpu"
    x = engine.ones(3).to(device)
    assert x.to("cpu") is x
    net = nn.Linear(3, 2).to(device)
    assert net(x).shape == (2,)
    assert engine.cuda.device_count() == 0


def test_names() -> None:
    assert str(engine.device("cuda:1")) == "cuda:1"
    assert engine.device("cuda", 1) == engine.device("cuda:1")
    assert repr(engine.device("cpu")) == "device(type='cpu')"
    assert engine.device("cuda:1").index == 1
    for wrong in ("gpu", "cuda:", "cuda:x", ""):
        with pytest.raises(RuntimeError, match="names no device"):
            engine.device(wrong)


def test_a_gpu_is_refused_with_what_to_ask() -> None:
    for move in (engine.ones(2).to, nn.Linear(2, 2).to):
        with pytest.raises(RuntimeError, match=r"no device 'cuda'[\s\S]*is_available"):
            move("cuda")
