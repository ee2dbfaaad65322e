"""Special functions against integrals, identities and known values, eagerly and compiled."""

import math

import numpy as np
import pytest

import engine as torch
from engine import special

ANGLES = (np.arange(400) + 0.5) * math.pi / 400  # a mean over them is an exact integral here
X = np.linspace(0.05, 30, 200)


def angles(function) -> np.ndarray:
    return np.mean([function(turn) for turn in ANGLES], axis=0)


MEANINGS = {
    "bessel_j0": lambda x: angles(lambda t: np.cos(x * np.sin(t))),
    "bessel_j1": lambda x: angles(lambda t: np.cos(t - x * np.sin(t))),
    "i0e": lambda x: angles(lambda t: np.exp(x * (np.cos(t) - 1))),
    "i1e": lambda x: angles(lambda t: np.exp(x * (np.cos(t) - 1)) * np.cos(t)),
    "spherical_bessel_j0": lambda x: np.sin(x) / x,
    "ndtr": lambda x: np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x]),
    "log_ndtr": lambda x: np.array([math.log1p(-math.erfc(v / math.sqrt(2)) / 2) for v in x]),
    "entr": lambda x: -x * np.log(x),
    "modified_bessel_k0": lambda x: steep(x, lambda t: 1.0),
    "modified_bessel_k1": lambda x: steep(x, math.cosh),
}


def steep(x: np.ndarray, weight) -> np.ndarray:
    step = 0.01
    terms = (np.exp(-x * math.cosh(t)) * weight(t) for t in np.arange(step, 9, step))
    return step * (np.exp(-x) / 2 + sum(terms))


@pytest.mark.parametrize("name", MEANINGS)
@pytest.mark.parametrize("compiled", [False, True])
def test_meaning(name: str, compiled: bool) -> None:
    function = getattr(special, name)
    run = torch.jit(function) if compiled else function
    found = run(torch.tensor(X)).numpy()
    np.testing.assert_allclose(found, MEANINGS[name](X), rtol=2e-12, atol=1e-13)
    small = run(torch.tensor(X.astype(np.float32)))
    assert small.dtype == torch.float32


def test_wronskians() -> None:
    x = torch.tensor(X)
    turn = special.bessel_j1(x) * special.bessel_y0(x) - special.bessel_j0(x) * special.bessel_y1(x)
    np.testing.assert_allclose((turn * x).numpy(), 2 / math.pi, rtol=1e-12)
    both = special.i0e(x) * special.scaled_modified_bessel_k1(x)
    both = both + special.i1e(x) * special.scaled_modified_bessel_k0(x)
    np.testing.assert_allclose((both * x).numpy(), 1, rtol=1e-12)


def test_inverse_of_the_normal_distribution() -> None:
    p = np.array([1e-300, 1e-20, 0.01, 0.2, 0.5, 0.7, 0.999])
    back = special.log_ndtr(special.ndtri(torch.tensor(p))).numpy()
    np.testing.assert_allclose(back, np.log(p), rtol=1e-13)
    ends = special.ndtri(torch.tensor([0.0, 1.0, 1.5])).numpy()
    np.testing.assert_array_equal(ends, [-np.inf, np.inf, np.nan])
    far = special.erfcx(torch.tensor(np.array([50.0, 1e8]))).numpy()
    np.testing.assert_allclose(far * np.array([50.0, 1e8]) * math.sqrt(math.pi), 1, rtol=3e-4)


def test_zeta_and_polygamma() -> None:
    two = special.zeta(torch.tensor([2.0, 4.0, 2.0], dtype=torch.float64), 1).tolist()
    np.testing.assert_allclose(two, [math.pi**2 / 6, math.pi**4 / 90, math.pi**2 / 6], rtol=1e-15)
    x = np.array([0.3, 2.5, 7.0, -0.4, -3.6])
    for order in range(4):
        here = torch.polygamma(order, torch.tensor(x)).numpy()
        step = (-1) ** order * math.factorial(order) / x ** (order + 1)
        after = torch.jit(lambda x, k=order: x.polygamma(k))(torch.tensor(x + 1)).numpy()
        np.testing.assert_allclose(here + step, after, rtol=1e-10, atol=1e-10)
    with pytest.raises(RuntimeError, match="negative n"):
        torch.polygamma(-1, torch.ones(1))


POLYNOMIALS = {
    "chebyshev_polynomial_t": np.polynomial.chebyshev.chebval,
    "hermite_polynomial_h": np.polynomial.hermite.hermval,
    "hermite_polynomial_he": np.polynomial.hermite_e.hermeval,
    "laguerre_polynomial_l": np.polynomial.laguerre.lagval,
    "legendre_polynomial_p": np.polynomial.legendre.legval,
}


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name: str) -> None:
    x, degrees = np.linspace(-1.5, 1.5, 20), np.arange(-1, 8)
    function = getattr(special, name)
    at_once = function(torch.tensor(x[:, None]), torch.tensor(degrees)).numpy()
    assert not at_once[:, 0].any()
    for degree in range(8):
        wanted = POLYNOMIALS[name](x, [0] * degree + [1])
        run = torch.jit(lambda x, n=degree: function(x, n))
        for found in (run(torch.tensor(x)).numpy(), at_once[:, degree + 1]):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-11)


def test_chebyshev_polynomials_are_angles() -> None:
    turn = np.linspace(0.2, 2.9, 20)
    x, shifted = torch.tensor(np.cos(turn)), torch.tensor((np.cos(turn) + 1) / 2)
    kinds = {
        "t": np.cos(5 * turn),
        "u": np.sin(6 * turn) / np.sin(turn),
        "v": np.cos(5.5 * turn) / np.cos(0.5 * turn),
        "w": np.sin(5.5 * turn) / np.sin(0.5 * turn),
    }
    for kind, wanted in kinds.items():
        for name, at in (("", x), ("shifted_", shifted)):
            found = getattr(special, f"{name}chebyshev_polynomial_{kind}")(at, 5)
            np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_airy() -> None:
    wanted = {-3.0: -0.37881429367765807, 0.0: 0.355028053887817239, 1.0: 0.13529241631288141}
    found = special.airy_ai(torch.tensor(np.array(list(wanted)))).numpy()
    np.testing.assert_allclose(found, list(wanted.values()), rtol=1e-13)
    step = 1e-3
    x = np.concatenate([np.arange(-9, -7.9, 0.05), [-2.09, 2.09], np.arange(3, 4, 0.1)])
    parts = [special.airy_ai(torch.tensor(x + k * step)).numpy() for k in (-1, 0, 1)]
    bend = (parts[0] - 2 * parts[1] + parts[2]) / step**2
    np.testing.assert_allclose(bend, x * parts[1], atol=2e-5)
