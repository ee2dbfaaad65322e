"""Activations and losses of PyTorch and of the engine on the same numbers in, equal values and
gradients out, eager and compiled. Asks PyTorch live: run by `make parity`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]
torch = pytest.importorskip("torch")
TF = pytest.importorskip("torch.nn.functional")

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((4, 6)) * 3).astype(np.float32)
Y = (RNG.standard_normal((4, 6)) * 3).astype(np.float32)
P = RNG.uniform(0.05, 0.95, (4, 6)).astype(np.float32)
Q = RNG.uniform(0.05, 0.95, (4, 6)).astype(np.float32)
SIGNS = RNG.choice([-1.0, 1.0], (4, 6)).astype(np.float32)
COUNTS = np.abs(np.round(X)).astype(np.int64)
ROWS = np.array([1, -1, 1, -1])
EDGES = np.array(
    [[-40.0, -6.0, -3.0, -1.0, -0.5, -0.0], [0.0, 0.5, 1.0, 3.0, 6.0, 40.0]], np.float32
)

Function = Callable[..., Any]


def agree(ours: Function, theirs: Function, *arrays: Any, compiled: bool = True) -> None:
    """Same value and gradients; the compiled engine too."""
    b = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    wanted = theirs(*b)
    cotangent = np.random.default_rng(1).standard_normal(wanted.shape).astype(np.float32)
    (wanted * torch.tensor(cotangent)).sum().backward()

    def step(*a: Any) -> Any:
        out = ours(*a)
        (out * engine.tensor(cotangent)).sum().backward()
        return out, [x.grad for x in a if x.grad is not None]

    for run in (step, engine.jit(step)) if compiled else (step,):
        a = [engine.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
        out, grads = run(*a)
        np.testing.assert_allclose(
            out.detach().numpy(), wanted.detach().numpy(), rtol=3e-5, atol=3e-6
        )
        kept = [y.grad for y in b if y.grad is not None]
        for mine, other in zip(grads, kept, strict=True):
            np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=3e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("elu", {"alpha": 0.7}),
        ("selu", {}),
        ("celu", {"alpha": 1.5}),
        ("leaky_relu", {"negative_slope": 0.2}),
        ("rrelu", {}),
        ("relu6", {}),
        ("hardtanh", {"min_val": -3.0, "max_val": 0.5}),
        ("hardsigmoid", {}),
        ("hardswish", {}),
        ("hardshrink", {}),
        ("softshrink", {}),
        ("threshold", {"threshold": 0.5, "value": 7.0}),
        ("softplus", {}),
        ("softplus", {"beta": 3.0, "threshold": 5.0}),
        ("logsigmoid", {}),
        ("gelu", {}),
        ("gelu", {"approximate": "tanh"}),
        ("silu", {}),
        ("mish", {}),
        ("softsign", {}),
        ("tanhshrink", {}),
        ("glu", {"dim": 1}),
        ("softmin", {"dim": 0}),
        ("normalize", {}),
        ("normalize", {"p": 3.0, "dim": 0}),
    ],
    ids=str,
)
def test_activations(name: str, options: dict[str, Any]) -> None:
    ours, theirs = getattr(F, name), getattr(TF, name)
    for x in (X, EDGES):
        agree(lambda x: ours(x, **options), lambda x: theirs(x, **options), x)


def test_prelu() -> None:
    for slopes in (np.array([0.3], np.float32), np.linspace(0.1, 0.6, 6, dtype=np.float32)):
        agree(F.prelu, TF.prelu, X, slopes)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [
        ("l1_loss", (X, Y), {}),
        ("smooth_l1_loss", (X, Y), {"beta": 0.5}),
        ("huber_loss", (X, Y), {"delta": 2.0}),
        ("gaussian_nll_loss", (X, Y, P), {"full": True}),
        ("gaussian_nll_loss", (X, Y, P[:, :1]), {"eps": 0.4}),
        ("poisson_nll_loss", (P, COUNTS), {"full": True}),
        ("poisson_nll_loss", (P, COUNTS), {"log_input": False}),
        ("binary_cross_entropy", (P, Q), {}),
        ("binary_cross_entropy_with_logits", (X * 20, Q), {}),
        ("kl_div", (X, Q), {}),
        ("kl_div", (X, Y), {"log_target": True}),
        ("hinge_embedding_loss", (X, SIGNS), {"margin": 2.0}),
        ("margin_ranking_loss", (X, Y, SIGNS), {"margin": 0.5}),
        ("soft_margin_loss", (X, SIGNS.astype(np.int64)), {}),
        ("cosine_embedding_loss", (X, Y, ROWS), {"margin": 0.1}),
        ("triplet_margin_loss", (X, Y, P), {"margin": 2.0, "swap": True}),
        ("triplet_margin_loss", (X, Y, P), {"p": 1}),
        ("multilabel_soft_margin_loss", (X, Q), {}),
        ("multi_margin_loss", (X, np.array([0, 5, 2, 2])), {"p": 2, "margin": 0.7}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_losses(name: str, arrays: Any, options: dict[str, Any], reduction: str) -> None:
    options = {**options, "reduction": reduction}
    ours, theirs = getattr(F, name), getattr(TF, name)
    agree(lambda *a: ours(*a, **options), lambda *a: theirs(*a, **options), *arrays)


def test_weights() -> None:
    agree(
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=engine.tensor(P[0])),
        lambda x, y: TF.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(P[0])),
        X,
        Q,
    )
    agree(
        lambda x, y: F.kl_div(x, y, reduction="batchmean"),
        lambda x, y: TF.kl_div(x, y, reduction="batchmean"),
        X,
        Q,
    )


def test_distances() -> None:
    for p in (1.0, 2.0, 3.0, float("inf")):
        agree(
            lambda x, y, p=p: F.pairwise_distance(x, y, p),
            lambda x, y, p=p: TF.pairwise_distance(x, y, p),
            X,
            Y,
        )
    agree(F.cosine_similarity, TF.cosine_similarity, X, Y)
    agree(F.cosine_similarity, TF.cosine_similarity, X, Y[:1])


def test_normalisation() -> None:
    x, w = X.reshape(2, 4, 3), P[0, :4]
    agree(lambda x: F.layer_norm(x, (3,)), lambda x: TF.layer_norm(x, (3,)), x)
    agree(
        lambda x, w, b: F.layer_norm(x, (6,), w, b, 1e-3),
        lambda x, w, b: TF.layer_norm(x, (6,), w, b, 1e-3),
        X,
        P[0],
        Q[0],
    )
    agree(lambda x, w: F.rms_norm(x, (6,), w), lambda x, w: TF.rms_norm(x, (6,), w), X, P[0])
    agree(
        lambda x, w, b: F.group_norm(x, 2, w, b), lambda x, w, b: TF.group_norm(x, 2, w, b), x, w, w
    )


@pytest.mark.parametrize("kind", ["none", "causal", "bool", "added"])
def test_attention(kind: str) -> None:
    q, k, v = (RNG.standard_normal((2, 2, 4, 3)).astype(np.float32) for _ in range(3))
    mask = np.tri(4, 4, -1, dtype=bool) if kind == "bool" else P[:, :4].copy()
    agree(
        *(
            lambda q, k, v, f=f, made=made: f.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=made if kind in ("bool", "added") else None,
                is_causal=kind == "causal",
            )
            for f, made in ((F, engine.tensor(mask)), (TF, torch.tensor(mask)))
        ),
        q,
        k,
        v,
    )
