"""``engine.special`` against ``torch.special``: names, values and gradients.
Asks PyTorch live: run by `make parity`."""

import numpy as np
import pytest

import engine
from engine import special

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parity

NOT_FUNCTIONS = ("Tensor", "torch", "common_args", "multi_dim_common")
MISSING = {"gammainc", "gammaincc"}
ROUGH = ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1")  # PyTorch's, not ours
RANGES = {"ndtri": (1e-9, 1), "entr": (1e-9, 30), "log1p": (-0.9, 9), "erfinv": (-0.99, 0.99)}
TAKES_MORE = ("log_softmax", "logit", "logsumexp", "multigammaln", "polygamma", "round", "softmax")
TAKES_MORE += ("xlog1py", "xlogy", "zeta")
UNARY = [n for n in special.__all__ if n not in TAKES_MORE and "polynomial" not in n]


def test_names() -> None:
    theirs = {name for name in dir(torch.special) if name[0] != "_"} - set(NOT_FUNCTIONS)
    assert theirs - set(special.__all__) == MISSING


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("compiled", [False, True])
def test_unary(name: str, compiled: bool) -> None:
    x = np.random.default_rng(0).uniform(*RANGES.get(name, (-9, 9)), 500)
    function = getattr(special, name)
    theirs = torch.tensor(x, requires_grad=True)
    wanted = getattr(torch.special, name)(theirs)
    near = {"rtol": 1e-5, "atol": 1e-5} if name in ROUGH else {"rtol": 1e-9, "atol": 1e-11}
    run = engine.jit(function) if compiled else function
    np.testing.assert_allclose(run(engine.tensor(x)).numpy(), wanted.detach().numpy(), **near)
    if not wanted.requires_grad or compiled:
        return
    try:
        wanted.sum().backward()
    except RuntimeError:  # PyTorch has no derivative of some
        return
    ours = engine.tensor(x, requires_grad=True)
    function(ours).sum().backward()
    near = {"rtol": 1e-8, "atol": 2e-8}
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **near)


@pytest.mark.parametrize("name", [n for n in special.__all__ if "polynomial" in n])
def test_polynomials(name: str) -> None:
    x = np.random.default_rng(0).uniform(-2, 2, (20, 1))
    degrees = np.arange(-2, 13)
    wanted = getattr(torch.special, name)(torch.tensor(x), torch.tensor(degrees)).numpy()
    found = getattr(special, name)(engine.tensor(x), engine.tensor(degrees)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)
    run = engine.jit(lambda x: getattr(special, name)(x, 7))
    wanted = getattr(torch.special, name)(torch.tensor(x), 7).numpy()
    np.testing.assert_allclose(run(engine.tensor(x)).numpy(), wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("order", range(6))
def test_polygamma(order: int) -> None:
    x = np.random.default_rng(0).uniform(-9, 9, 300)
    theirs = torch.tensor(x, requires_grad=True)
    wanted = torch.polygamma(order, theirs)
    wanted.sum().backward()
    ours = engine.tensor(x, requires_grad=True)
    found = engine.polygamma(order, ours)
    found.sum().backward()
    near = {"rtol": 1e-8, "atol": 1e-8}
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), **near)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **near)


def test_zeta() -> None:
    x = np.random.default_rng(0).uniform(1, 9, 300)
    q = np.random.default_rng(1).uniform(0, 20, 300)
    x[:20], q[:20] = np.round(x[:20]), -q[:20]
    wanted = torch.special.zeta(torch.tensor(x), torch.tensor(q)).numpy()
    found = special.zeta(engine.tensor(x), engine.tensor(q)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-11)
