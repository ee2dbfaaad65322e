"""Modules in, their registration, traversal, state and text held to what people expect out."""

import copy
import inspect
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import engine
from engine import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3, 4)
        self.norm = nn.BatchNorm2d(2)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])
        self.scale = nn.Parameter(engine.ones(1))
        self.register_buffer("count", engine.zeros(()))
        self.register_buffer("cache", engine.zeros(2), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.fc1(x) * self.scale


def test_registration_order_and_names() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "fc1.weight",
        "fc1.bias",
        "norm.weight",
        "norm.bias",
        "blocks.0.weight",
        "blocks.0.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == [
        "count",
        "cache",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]
    assert [name for name, _ in net.named_children()] == ["fc1", "norm", "blocks"]
    assert [name for name, _ in net.named_modules()][:3] == ["", "fc1", "norm"]
    assert "cache" not in net.state_dict()
    assert list(net.state_dict())[:2] == ["scale", "count"]


def test_assigning_before_init_and_wrong_kinds() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__"):
        Early()
    net = Net()
    with pytest.raises(TypeError, match="as parameter 'scale'"):
        net.scale = 3
    with pytest.raises(TypeError, match="as child module 'fc1'"):
        net.fc1 = engine.zeros(1)
    with pytest.raises(TypeError, match="as buffer 'count'"):
        net.count = 3
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("forward", engine.zeros(1))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = net.nothing


def test_replacing_and_deleting() -> None:
    net = Net()
    net.fc1 = None
    assert net.fc1 is None
    net.fc1 = nn.Identity()
    assert "fc1.weight" not in net.state_dict()
    del net.scale
    assert "scale" not in dict(net.named_parameters())
    net.plain = 3
    net.plain = nn.Parameter(engine.ones(1))
    assert "plain" in dict(net.named_parameters())
    assert "plain" not in net.__dict__


def test_shared_parameters_are_listed_once() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(net.state_dict()) == 4


def test_train_eval_apply_requires_grad_zero_grad() -> None:
    net = Net()
    seen: list[str] = []
    net.apply(lambda module: seen.append(type(module).__name__))
    assert seen[-1] == "Net"
    assert not net.eval().training
    assert not net.blocks[0].training
    assert net.train().norm.training
    net(engine.ones(2, 3)).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad()
    assert net.scale.grad is None
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_state_round_trip_shares_memory() -> None:
    a, b = Net(), Net()
    assert repr(b.load_state_dict(a.state_dict())) == "<All keys matched successfully>"
    for name, value in b.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), a.state_dict()[name].numpy())
    weight = b.fc1.weight
    b.state_dict()["fc1.weight"].fill_(7.0)
    assert weight is b.fc1.weight
    assert float(weight[0, 0]) == 7.0


def test_load_state_dict_errors_load_nothing() -> None:
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wrong = {name: engine.full(value.shape, 9.0) for name, value in before.items()}
    wrong["fc1.weight"] = engine.zeros(5, 5)
    wrong["extra"] = engine.zeros(1)
    del wrong["scale"]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrong)
    text = str(caught.value)
    assert "test_module.py" in text.splitlines()[0]
    assert 'Missing key(s) in state_dict: "scale"' in text
    assert 'Unexpected key(s) in state_dict: "extra"' in text
    assert "size mismatch for fc1.weight" in text
    assert len(text.splitlines()) <= 12
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())


def test_load_state_dict_not_strict() -> None:
    net = Net()
    found = net.load_state_dict({"scale": np.array([2.0]), "other": engine.zeros(1)}, strict=False)
    assert found.unexpected_keys == ["other"]
    assert "fc1.weight" in found.missing_keys
    assert float(net.scale) == 2.0


def test_many_mistakes_stay_within_a_screen() -> None:
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(30)))
    bad = {name: engine.zeros(3) for name in net.state_dict()}
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(bad)
    assert len(str(caught.value).splitlines()) <= 12


def test_repr_is_pytorchs() -> None:
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 6, 5, padding=2, bias=False), act=nn.ReLU()))
    assert repr(net) == (
        "Sequential(\n"
        "  (conv): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2), bias=False)\n"
        "  (act): ReLU()\n"
        ")"
    )
    assert repr(nn.MaxPool2d(2, 2)) == (
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    )


def test_hooks() -> None:
    net = nn.Linear(2, 2)
    seen: list[str] = []
    before = net.register_forward_pre_hook(lambda module, args: seen.append("before"))
    after = net.register_forward_hook(lambda module, args, output: output * 0)
    assert float(net(engine.ones(1, 2)).sum()) == 0.0
    assert seen == ["before"]
    before.remove()
    after.remove()
    after.remove()
    assert float(net(engine.ones(1, 2)).abs().sum()) != 0.0
    assert seen == ["before"]


def test_to_and_deepcopy() -> None:
    net = Net()
    weight = net.fc1.weight
    assert net.double().fc1.weight is weight
    assert weight.dtype == engine.float64
    assert net.norm.num_batches_tracked.dtype == engine.int64
    assert net.to("cpu").float().scale.dtype == engine.float32
    with pytest.raises(TypeError, match="floating point"):
        net.to(engine.int64)
    twin = copy.deepcopy(net)
    twin.scale.detach().fill_(5.0)
    assert float(net.scale) == 1.0
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in net.named_parameters()]


def test_get_submodule() -> None:
    net = Net()
    assert net.get_submodule("blocks.0") is net.blocks[0]
    assert net.get_parameter("blocks.0.weight") is net.blocks[0].weight
    with pytest.raises(AttributeError, match="no submodule `9`"):
        net.get_submodule("blocks.9")


def test_containers() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3
    assert isinstance(net[-1], nn.Linear)
    assert len(net[:2]) == 2
    assert net(engine.ones(4, 2)).shape == (4, 1)
    net.append(nn.Sigmoid())
    del net[1]
    assert [type(m).__name__ for m in net] == ["Linear", "Linear", "Sigmoid"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    parts = nn.ModuleList([nn.ReLU()])
    parts.insert(0, nn.Tanh())
    assert [type(m).__name__ for m in parts] == ["Tanh", "ReLU"]


def test_hooks_see_named_arguments_and_keep_their_order() -> None:
    class Scale(nn.Module):
        def forward(self, x: engine.Tensor, by: float = 1.0) -> engine.Tensor:
            return x * by

    net, seen = Scale(), []
    net.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {"by": kwargs["by"] + 1}), with_kwargs=True
    )
    net.register_forward_hook(lambda module, args, output: seen.append("second"))
    net.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(kwargs["by"]),
        with_kwargs=True,
        prepend=True,
    )
    assert float(net(engine.ones(()), by=2.0)) == 3.0
    assert seen == [3.0, "second"]


def test_hooks_around_the_state_and_extra_state() -> None:
    class Counter(nn.Linear):
        count = 0

        def get_extra_state(self) -> int:
            return self.count

        def set_extra_state(self, state: int) -> None:
            self.count = state

    net = nn.Sequential(Counter(1, 1))
    net[0].count = 7
    net.register_state_dict_post_hook(lambda module, state, prefix, _: state.update(more=1))
    saved = net.state_dict()
    assert list(saved) == ["0.weight", "0.bias", "0._extra_state", "more"]
    other = nn.Sequential(Counter(1, 1))
    seen = []
    other.register_load_state_dict_pre_hook(lambda module, state, *rest: state.pop("more"))
    other.register_load_state_dict_post_hook(lambda module, keys: seen.append(keys))
    other.load_state_dict(saved)
    assert other[0].count == 7
    assert len(seen) == 1
    assert "more" in saved  # the mapping that was given stays as it was


def test_what_does_not_fit_is_listed() -> None:
    state = {"weight": engine.zeros(3, 2), "scale": engine.zeros(1)}
    with pytest.raises(RuntimeError) as error:
        nn.Linear(2, 2).load_state_dict(state)
    for part in (
        'Unexpected key(s) in state_dict: "scale"',
        'Missing key(s) in state_dict: "bias"',
    ):
        assert part in str(error.value)
    assert "size mismatch for weight" in str(error.value)
    keys = nn.Linear(3, 3).load_state_dict({}, strict=False)
    assert keys.missing_keys == ["weight", "bias"]


def test_parts_by_name_and_in_place_of_others() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    assert net.get_buffer("0.running_mean") is net[0].running_mean
    with pytest.raises(AttributeError, match="no buffer"):
        net.get_buffer("1.weight")
    net.set_submodule("1", nn.Tanh())
    assert isinstance(net[1], nn.Tanh)
    twice = nn.Sequential(net[0], net[0])
    assert len(list(twice.named_parameters())) == 2
    assert len(list(twice.named_parameters(remove_duplicate=False))) == 4
    assert list(twice.named_parameters(recurse=False)) == []
    into = twice.state_dict(prefix="x.")
    assert next(iter(into)) == "x.0.weight"
    assert len(into) == 10


def test_a_class_shows_what_it_takes():
    found = inspect.signature(nn.ConstantPad1d).parameters
    assert list(found) == ["padding", "value"]
    assert next(iter(inspect.signature(nn.Linear).parameters)) == "in_features"
