"""Modules and parameters put into containers in, their names and order out."""

import numpy as np
import pytest

import engine
from engine import nn


def test_module_dict() -> None:
    parts = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    parts["c"] = nn.Tanh()
    assert list(parts) == ["a", "b", "c"]
    assert [name for name, _ in parts.named_parameters()] == ["a.weight", "a.bias"]
    assert isinstance(parts.pop("b"), nn.ReLU)
    assert "b" not in parts
    with pytest.raises(TypeError, match="iterable"):
        parts.update(3)


def test_parameter_list() -> None:
    made = nn.ParameterList([engine.ones(2), nn.Parameter(engine.zeros(3))])
    made.append(engine.ones(1))
    assert list(made.state_dict()) == ["0", "1", "2"]
    assert all(isinstance(x, nn.Parameter) for x in made)
    assert made[-1].shape == (1,)
    with pytest.raises(IndexError):
        made[3]


def test_parameter_dict_in_a_step() -> None:
    made = nn.ParameterDict({"w": engine.full((2,), 3.0)})

    @engine.jit
    def step(x: engine.Tensor) -> engine.Tensor:
        made.zero_grad()
        (made["w"] * x).sum().backward()
        return made["w"].grad  # type: ignore[no-any-return]

    np.testing.assert_array_equal(step(engine.tensor([1.0, 2.0])).numpy(), [1.0, 2.0])
    assert made.get("v", 7) == 7
    assert list(made.keys()) == ["w"]


def test_sequential_is_a_list_too() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3
    assert isinstance(net[1], nn.ReLU)
    assert len(net[:2]) == 2
    assert net(engine.ones(4, 2)).shape == (4, 1)
