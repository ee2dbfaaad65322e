"""The same layers with computed weights trained by PyTorch and the engine, equal states out.
Asks PyTorch live: run by `make parity`."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

X = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
IMAGES = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
LAYERS: dict[str, Any] = {
    "linear": (lambda n: n.Linear(5, 7), X),
    "square": (lambda n: n.Linear(5, 5), X),
    "wide": (lambda n: n.Linear(5, 3), X),
    "conv": (lambda n: n.Conv2d(4, 6, 3), IMAGES),
    "transposed": (lambda n: n.ConvTranspose2d(4, 6, 3), IMAGES),
}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("weight_norm", {}),
    ("weight_norm", {"dim": None}),
    ("weight_norm", {"dim": 1}),
    ("spectral_norm", {}),
    ("spectral_norm", {"n_power_iterations": 3, "dim": 1}),
]
MAPS: list[dict[str, Any]] = [
    {},
    {"orthogonal_map": "cayley"},
    {"orthogonal_map": "householder"},
    {"orthogonal_map": "householder", "use_trivialization": False},
]


def compare(ours: Any, theirs: Any, x: Any, compiled: bool) -> None:
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    opt = engine.optim.SGD(ours.parameters(), lr=0.1)
    other = torch.optim.SGD(theirs.parameters(), lr=0.1)

    def step(x: engine.Tensor) -> engine.Tensor:
        opt.zero_grad()
        out = ours(x)
        (out * out).mean().backward()
        opt.step()
        return out

    run = engine.jit(step) if compiled else step
    for _ in range(3):
        found = run(engine.tensor(x)).detach().numpy()
        other.zero_grad()
        wanted = theirs(torch.tensor(x))
        (wanted * wanted).mean().backward()
        other.step()
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=2e-5, atol=2e-5)
        for name, value in theirs.state_dict().items():
            own = ours.state_dict()[name].numpy()
            np.testing.assert_allclose(own, value.numpy(), rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
@pytest.mark.parametrize("layer", ["linear", "conv", "transposed"])
def test_norms(layer: str, kind: str, options: dict[str, Any], old: bool, compiled: bool) -> None:
    make, x = LAYERS[layer]
    ours, theirs = make(nn), make(torch.nn)
    for library, module in ((nn.utils, ours), (torch.nn.utils, theirs)):
        getattr(library if old else library.parametrizations, kind)(module, **options)
    compare(ours, theirs, x, compiled)
    for library, module in ((nn.utils, ours), (torch.nn.utils, theirs)):
        if old:
            getattr(library, f"remove_{kind}")(module)
        else:
            library.parametrize.remove_parametrizations(module, "weight")
    assert repr(ours) == repr(theirs)
    plain = theirs.weight.detach().numpy()
    np.testing.assert_allclose(ours.weight.detach().numpy(), plain, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("options", MAPS, ids=str)
@pytest.mark.parametrize("layer", ["linear", "square", "wide"])
def test_orthogonal(layer: str, options: dict[str, Any], compiled: bool) -> None:
    make, x = LAYERS[layer]
    ours, theirs = make(nn), make(torch.nn)
    torch.nn.init.orthogonal_(theirs.weight)
    nn.utils.parametrizations.orthogonal(ours, **options)
    torch.nn.utils.parametrizations.orthogonal(theirs, **options)
    compare(ours, theirs, x, compiled)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("options", [{}, {"head_bias": True, "div_value": 2.0}], ids=str)
def test_adaptive_softmax(options: dict[str, Any], compiled: bool) -> None:
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10, 15], **options)
    ours = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10, 15], **options)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    random = np.random.default_rng(0)
    x = random.standard_normal((32, 16)).astype(np.float32)
    target = random.integers(0, 20, 32)
    given = torch.tensor(x, requires_grad=True)
    wanted = theirs(given, torch.tensor(target))
    (wanted.loss + wanted.output.sum()).backward()

    def step(x: engine.Tensor, target: engine.Tensor) -> Any:
        out = ours(x, target)
        return *out, engine.autograd.grad(out.loss + out.output.sum(), [x])[0]

    run = engine.jit(step) if compiled else step
    found = run(engine.tensor(x, requires_grad=True), engine.tensor(target))
    for one, other in zip(found, (*wanted, given.grad), strict=True):
        np.testing.assert_allclose(
            one.detach().numpy(), other.detach().numpy(), rtol=1e-4, atol=1e-5
        )
    best = theirs.predict(torch.tensor(x)).numpy()
    np.testing.assert_array_equal(ours.predict(engine.tensor(x)).numpy(), best)
