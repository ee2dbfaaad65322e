"""Functions and layers of PyTorch and of the engine on the same numbers in, equal values and
gradients out. Asks PyTorch live: run by `make parity`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]
torch = pytest.importorskip("torch")
TF = pytest.importorskip("torch.nn.functional")

N = np.random.default_rng(0).standard_normal
IMAGE = N((2, 4, 9, 8)).astype(np.float32)
LOGITS = N((5, 7)).astype(np.float32)
MAPS = N((2, 7, 3, 4)).astype(np.float32)
LABELS = np.array([0, 6, 3, 3, 1])
WEIGHT = np.abs(N(7)).astype(np.float32) + 0.1


def agree(
    ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray[Any, Any]
) -> None:
    """Same value, and same gradient of a weighted sum for every float operand."""
    a = [engine.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    b = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    out, wanted = ours(*a), theirs(*b)
    np.testing.assert_allclose(out.detach().numpy(), wanted.detach().numpy(), rtol=2e-5, atol=2e-6)
    cotangent = np.random.default_rng(1).standard_normal(wanted.shape).astype(np.float32)
    (out * engine.tensor(cotangent)).sum().backward()
    (wanted * torch.tensor(cotangent)).sum().backward()
    for x, y in zip(a, b, strict=True):
        if y.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (2, 1), "padding": (1, 2)},
        {"padding": "same"},
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "dilation": (2, 1)},
        {"padding": 1, "groups": 2},
        {"groups": 4, "stride": 2, "padding": 1},
    ],
    ids=str,
)
def test_conv2d(options: dict[str, Any]) -> None:
    weight = N((8, 4 // options.get("groups", 1), 3, 2)).astype(np.float32)
    bias = N(8).astype(np.float32)
    agree(
        lambda x, w, b: F.conv2d(x, w, b, **options),
        lambda x, w, b: TF.conv2d(x, w, b, **options),
        IMAGE,
        weight,
        bias,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 3, "ceil_mode": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pooling(name: str, options: dict[str, Any]) -> None:
    agree(
        lambda x: getattr(F, name)(x, **options), lambda x: getattr(TF, name)(x, **options), IMAGE
    )


def test_max_pool2d_dilation_ties_and_no_batch() -> None:
    agree(
        lambda x: F.max_pool2d(x, 2, dilation=2), lambda x: TF.max_pool2d(x, 2, dilation=2), IMAGE
    )
    agree(lambda x: F.max_pool2d(x, 2), lambda x: TF.max_pool2d(x, 2), np.round(IMAGE))
    agree(lambda x: F.max_pool2d(x, 2), lambda x: TF.max_pool2d(x, 2), IMAGE[0])


@pytest.mark.parametrize(
    "options", [{"count_include_pad": False}, {"divisor_override": 3}], ids=str
)
def test_avg_pool2d_divisors(options: dict[str, Any]) -> None:
    for ceil_mode in (False, True):
        common = {"padding": 1, "stride": 2, "ceil_mode": ceil_mode, **options}
        agree(
            lambda x, common=common: F.avg_pool2d(x, 3, **common),
            lambda x, common=common: TF.avg_pool2d(x, 3, **common),
            IMAGE,
        )


def test_linear() -> None:
    w, b = N((3, 7)).astype(np.float32), N(3).astype(np.float32)
    agree(F.linear, TF.linear, LOGITS, w, b)
    agree(F.linear, TF.linear, LOGITS[0], w)
    agree(F.linear, TF.linear, N((2, 3, 7)).astype(np.float32), w, b)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_activations(name: str) -> None:
    agree(getattr(F, name), getattr(TF if name == "relu" else torch, name), LOGITS)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, dim: int) -> None:
    agree(
        lambda x: getattr(F, name)(x, dim=dim),
        lambda x: getattr(TF, name)(x, dim=dim),
        LOGITS * 30,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore", [-100, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(reduction: str, smoothing: float, ignore: int, weighted: bool) -> None:
    options = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignore}
    labels = LABELS.copy()
    labels[1] = ignore
    for logits, y in (
        (LOGITS, labels),
        (MAPS, np.resize(labels, (2, 3, 4))),
        (LOGITS[0], labels[0]),
    ):
        agree(
            lambda x, y: F.cross_entropy(
                x, y, weight=engine.tensor(WEIGHT) if weighted else None, **options
            ),
            lambda x, y: TF.cross_entropy(
                x, y, weight=torch.tensor(WEIGHT) if weighted else None, **options
            ),
            logits,
            np.asarray(y),
        )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_probabilities(reduction: str, smoothing: float) -> None:
    options = {"reduction": reduction, "label_smoothing": smoothing}
    for logits in (LOGITS, MAPS):
        target = np.exp(logits[::-1])
        target = (target / target.sum(1, keepdims=True)).astype(np.float32)
        agree(
            lambda x, y: F.cross_entropy(x, y, **options),
            lambda x, y: TF.cross_entropy(x, y, **options),
            logits,
            target,
        )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_and_mse(reduction: str) -> None:
    agree(
        lambda x, y: F.nll_loss(x, y, reduction=reduction),
        lambda x, y: TF.nll_loss(x, y, reduction=reduction),
        LOGITS,
        LABELS,
    )
    agree(
        lambda x, y: F.mse_loss(x, y, reduction=reduction),
        lambda x, y: TF.mse_loss(x, y, reduction=reduction),
        LOGITS,
        LOGITS[::-1].copy(),
    )


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(training: bool) -> None:
    ours, theirs = [], []
    for module, function, kept in ((engine, F, ours), (torch, TF, theirs)):
        mean, var = module.zeros(4), module.ones(4)
        kept += [mean, var]
        kept.append(
            lambda x, w, b, f=function, m=mean, v=var: f.batch_norm(x, m, v, w, b, training, 0.3)
        )
    w, b = N(4).astype(np.float32), N(4).astype(np.float32)
    agree(ours[2], theirs[2], IMAGE, w, b)
    np.testing.assert_allclose(ours[0].numpy(), theirs[0].numpy(), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours[1].numpy(), theirs[1].numpy(), rtol=1e-5)


def test_one_hot() -> None:
    found = F.one_hot(engine.tensor(LABELS), 8).numpy()
    np.testing.assert_array_equal(found, TF.one_hot(torch.tensor(LABELS), 8).numpy())
