"""Weights that are computed: their norms, their names in a state, eagerly and inside a step."""

import copy

import numpy as np
import pytest

import engine as torch
from engine import nn
from engine.nn.utils import parametrizations, parametrize

X = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)


class Symmetric(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: torch.Tensor) -> torch.Tensor:
        return x.triu()


def test_a_parametrized_weight() -> None:
    layer = parametrize.register_parametrization(nn.Linear(5, 5), "weight", Symmetric())
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    weight = layer.weight
    np.testing.assert_array_equal(weight.detach().numpy(), weight.detach().numpy().T)
    assert layer.weight is not weight
    with parametrize.cached():
        assert layer.weight is layer.weight
    layer.weight = torch.eye(5)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), np.eye(5))
    assert parametrize.is_parametrized(layer, "weight")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    twin = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert parametrize.is_parametrized(twin)
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(nn.Linear(2, 3), "weight", nn.Flatten(0))
    with pytest.raises(ValueError, match="does not have a parametrization"):
        parametrize.remove_parametrizations(layer, "weight")


@pytest.mark.parametrize("module", [parametrizations, nn.utils], ids=["new", "old"])
@pytest.mark.parametrize("compiled", [False, True])
def test_spectral_norm_follows_the_largest_singular_value(module, compiled: bool) -> None:
    torch.manual_seed(0)
    layer = module.spectral_norm(nn.Linear(5, 7))
    run = torch.jit(layer) if compiled else layer
    before = {name: value.numpy().copy() for name, value in layer.named_buffers()}
    for _ in range(60):
        run(torch.tensor(X))
    after = dict(layer.named_buffers())
    assert len(before) == 2
    assert all((before[name] != after[name].numpy()).any() for name in before)
    layer.eval()
    layer(torch.tensor(X))
    top = np.linalg.svd(layer.weight.detach().numpy())[1][0]
    np.testing.assert_allclose(top, 1, rtol=2e-2)


@pytest.mark.parametrize("module", [parametrizations, nn.utils], ids=["new", "old"])
def test_weight_norm_leaves_the_weight(module) -> None:
    layer = nn.Linear(5, 7)
    weight = layer.weight.detach().numpy().copy()
    out = layer(torch.tensor(X)).detach().numpy()
    module.weight_norm(layer)
    shapes = sorted(tuple(p.shape) for p in layer.parameters())
    assert shapes == [(7,), (7, 1), (7, 5)]
    np.testing.assert_allclose(layer(torch.tensor(X)).detach().numpy(), out, rtol=1e-5, atol=1e-6)
    if module is nn.utils:
        assert list(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
        nn.utils.remove_weight_norm(layer)
        assert list(layer.state_dict()) == ["bias", "weight"]
        with pytest.raises(ValueError, match="not found"):
            nn.utils.remove_weight_norm(layer)
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (5, 3), (3, 5)])
@pytest.mark.parametrize("kind", [None, "cayley", "householder"])
def test_orthogonal_stays_so(shape: tuple[int, int], kind: str | None) -> None:
    layer = parametrizations.orthogonal(nn.Linear(*shape), orthogonal_map=kind)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = torch.tensor(X[:, : shape[0]])

    @torch.jit
    def step() -> None:
        optimizer.zero_grad()
        (layer(x) - 1).square().mean().backward()
        optimizer.step()

    first = layer.weight.detach().numpy().copy()
    for _ in range(3):
        step()
    weight = layer.weight.detach().numpy()
    assert np.abs(weight - first).max() > 1e-3
    small = weight @ weight.T if weight.shape[0] < weight.shape[1] else weight.T @ weight
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-5)
