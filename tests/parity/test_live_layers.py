"""Networks of both sides in, one state file out that either loads: keys, outputs, gradients."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import nn

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]
torch = pytest.importorskip("torch")
files = pytest.importorskip("safetensors.torch")

RNG = np.random.default_rng(0)
SEQUENCE = RNG.standard_normal((5, 3, 8)).astype(np.float32)
IMAGES = RNG.standard_normal((4, 2, 6, 6)).astype(np.float32)
PLACES = RNG.integers(0, 9, (3, 5))


def normed(kind: Any) -> Any:
    """Convolutions with every kind of normalisation."""
    parts = [
        ("first", kind.Conv2d(2, 4, 3, bias=False)),
        ("batch", kind.BatchNorm2d(4)),
        ("group", kind.GroupNorm(2, 4)),
        ("instance", kind.InstanceNorm2d(4, affine=True, track_running_stats=True)),
        ("act", kind.PReLU(4)),
        ("flat", kind.Flatten()),
        ("norm", kind.LayerNorm(64)),
        ("last", kind.Linear(64, 3)),
    ]
    return kind.Sequential(OrderedDict(parts))


def transformer(kind: Any) -> Any:
    """Two encoder layers."""
    layer = kind.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu")
    return kind.TransformerEncoder(layer, 2, kind.LayerNorm(8))


def words(kind: Any) -> Any:
    """A table and a bilinear form over it."""
    return kind.Sequential(kind.Embedding(9, 6, padding_idx=2), kind.Linear(6, 2))


MODELS = {
    "lstm": (lambda kind: kind.LSTM(8, 5, 2, bidirectional=True, proj_size=3), SEQUENCE),
    "transformer": (transformer, SEQUENCE),
    "normed": (normed, IMAGES),
    "words": (words, PLACES),
}


def first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def trained(model: Any, given: Any) -> Any:
    """The output of a training pass, which moves the running statistics, and its gradients."""
    model.train()
    out = first(model(given))
    (out * out).sum().backward()
    return out


@pytest.mark.parametrize("name", MODELS)
def test_state_goes_both_ways_through_files(name: str, tmp_path: Path) -> None:
    make, given = MODELS[name]
    torch.manual_seed(0)
    ours, theirs = make(nn), make(torch.nn)
    trained(theirs, torch.tensor(given))
    files.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    assert repr(ours.load_state_dict(engine.load(tmp_path / "theirs.safetensors"))).startswith("<")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.zero_grad()
    theirs.zero_grad()
    found, wanted = trained(ours, engine.tensor(given)), trained(theirs, torch.tensor(given))
    close(found, wanted)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(mine.grad, other.grad, 1e-3)

    engine.save(ours.state_dict(), tmp_path / "ours.safetensors")
    again = make(torch.nn)
    again.load_state_dict(files.load_file(tmp_path / "ours.safetensors"))
    for key, value in theirs.state_dict().items():
        close(again.state_dict()[key], value)
    close(first(ours.eval()(engine.tensor(given))), first(again.eval()(torch.tensor(given))))


def close(found: Any, wanted: Any, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(
        found.detach().numpy(), wanted.detach().numpy(), rtol=1e-4, atol=atol
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_ctc(reduction: str, compiled: bool) -> None:
    x, labels = RNG.standard_normal((9, 3, 5)), RNG.integers(1, 5, (3, 3))
    steps, sizes = np.array([9, 7, 4]), np.array([3, 2, 0])

    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        given = (engine.tensor(part) for part in (labels, steps, sizes))
        loss = nn.CTCLoss(reduction=reduction)(x.log_softmax(-1), *given)
        loss.sum().backward()
        return loss.detach(), x.grad

    found, grad = (engine.jit(step) if compiled else step)(engine.tensor(x))
    logits = torch.tensor(x, requires_grad=True)
    given = (torch.tensor(part) for part in (labels, steps, sizes))
    wanted = torch.nn.CTCLoss(reduction=reduction)(logits.log_softmax(-1), *given)
    wanted.sum().backward()
    close(found, wanted)
    np.testing.assert_allclose(grad.numpy(), logits.grad.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 4), (5, 2, 3, 3)])
def test_initialisations_that_draw_nothing_or_keep_a_law(shape: tuple[int, ...]) -> None:
    made = nn.init.orthogonal_(engine.empty(*shape), 2.0).numpy().reshape(shape[0], -1)
    made = made if made.shape[0] <= made.shape[1] else made.T
    np.testing.assert_allclose(made @ made.T, 4 * np.eye(len(made)), atol=1e-5)
    if len(shape) > 2:
        found = nn.init.dirac_(engine.empty(*shape))
        close(found, torch.nn.init.dirac_(torch.empty(*shape)))


@pytest.mark.parametrize(
    "name", ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_"]
)
def test_activations_in_place(name: str) -> None:
    results = []
    for module, functions in ((engine, nn.functional), (torch, torch.nn.functional)):
        x = module.tensor(SEQUENCE)
        x.requires_grad_()
        twice = x * 2
        assert getattr(functions, name)(twice) is twice
        (twice * twice).sum().backward()
        results.append((twice, x.grad))
    for mine, other in zip(*results, strict=True):
        close(mine, other)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_distances_of_every_pair(p: float) -> None:
    results = []
    for module, functions in ((engine, nn.functional), (torch, torch.nn.functional)):
        x = module.tensor(SEQUENCE[0])
        x.requires_grad_()
        found = functions.pdist(x, p)
        (found * found).sum().backward()
        results.append((found, x.grad))
    for mine, other in zip(*results, strict=True):
        close(mine, other)
