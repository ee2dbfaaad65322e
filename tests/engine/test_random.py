"""Seeds and shapes in, numbers of the right shape, dtype and moments out, eager and compiled."""

from collections.abc import Callable

import numpy as np
import pytest

import engine as torch
from engine import Tensor

N = 4000
Draw = Callable[..., Tensor]


def new(name: str, *args: object) -> Draw:
    return lambda **kw: getattr(torch, name)(*args, **kw)


def written(name: str, *args: object) -> Draw:
    return lambda **kw: getattr(torch.zeros(N), name)(*args, **kw)


# name, draw, mean, variance
DRAWS: tuple[tuple[str, Draw, float, float], ...] = (
    ("rand", new("rand", N), 0.5, 1 / 12),
    ("randn", new("randn", N), 0.0, 1.0),
    ("randint", new("randint", 2, 8, (N,)), 4.5, 35 / 12),
    ("normal", new("normal", 3.0, 2.0, (N,)), 3.0, 4.0),
    ("rand_like", lambda **kw: torch.rand_like(torch.zeros(N), **kw), 0.5, 1 / 12),
    ("randn_like", lambda **kw: torch.randn_like(torch.zeros(N), **kw), 0.0, 1.0),
    ("randint_like", lambda **kw: torch.randint_like(torch.zeros(N), 6, **kw), 2.5, 35 / 12),
    ("bernoulli", lambda **kw: torch.bernoulli(torch.full((N,), 0.3), **kw), 0.3, 0.21),
    ("uniform_", written("uniform_", 1.0, 3.0), 2.0, 4 / 12),
    ("normal_", written("normal_", 1.0, 2.0), 1.0, 4.0),
    ("bernoulli_", written("bernoulli_", 0.25), 0.25, 0.1875),
    ("exponential_", written("exponential_", 2.0), 0.5, 0.25),
    ("geometric_", written("geometric_", 0.5), 2.0, 2.0),
    ("log_normal_", written("log_normal_", 0.0, 0.5), np.exp(0.125), 0.3647),
    ("random_", written("random_", 2, 8), 4.5, 35 / 12),
)
NAMES = [name for name, *_ in DRAWS]


@pytest.mark.parametrize(("draw", "mean", "variance"), [row[1:] for row in DRAWS], ids=NAMES)
def test_moments(draw: Draw, mean: float, variance: float) -> None:
    torch.manual_seed(1)
    values = draw().numpy().astype(np.float64)
    assert values.shape == (N,)
    assert abs(values.mean() - mean) < 5 * np.sqrt(variance / N)
    assert abs(values.var() / variance - 1) < 0.3


@pytest.mark.parametrize("draw", [row[1] for row in DRAWS], ids=NAMES)
def test_a_seed_fixes_the_numbers_eager_and_compiled(draw: Draw) -> None:
    """The second draw too: a first draw inside ``jit`` advances the state and keeps it."""
    step = torch.jit(draw)
    torch.manual_seed(7)
    eager = [draw().numpy() for _ in range(2)]
    state = torch.get_rng_state().tolist()
    torch.manual_seed(7)
    compiled = [step().numpy() for _ in range(2)]
    assert torch.get_rng_state().tolist() == state
    for a, b in zip(eager, compiled, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)
    assert not np.array_equal(*eager)


@pytest.mark.parametrize("draw", [row[1] for row in DRAWS], ids=NAMES)
def test_a_generator_is_a_stream_of_its_own(draw: Draw) -> None:
    stream = torch.Generator().manual_seed(3)
    before = torch.get_rng_state().tolist()
    first = draw(generator=stream).numpy()
    assert torch.get_rng_state().tolist() == before
    np.testing.assert_array_equal(first, draw(generator=stream.manual_seed(3)).numpy())


def test_dtypes_and_shapes() -> None:
    assert torch.rand(2, 3).shape == (2, 3)
    assert torch.randn((2, 0)).shape == (2, 0)
    assert torch.rand((), dtype=torch.float64).dtype == np.float64
    assert torch.randint(5, (3,)).dtype == np.int64
    assert torch.randint(5, (3,), dtype=torch.int8).dtype == np.int8
    assert torch.rand(2, requires_grad=True).requires_grad
    with pytest.raises(TypeError):
        torch.rand(2, dtype=torch.int64)
    with pytest.raises(RuntimeError):
        torch.randint(3, 3, (2,))


def test_multinomial_draws_by_weight() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.0, 1.0, 3.0])
    drawn = torch.multinomial(weights, N, replacement=True).numpy()
    counts = np.bincount(drawn, minlength=3) / N
    np.testing.assert_allclose(counts, [0, 0.25, 0.75], atol=0.03)
    order = torch.multinomial(torch.ones(5, 6), 6).numpy()
    np.testing.assert_array_equal(np.sort(order, 1), np.tile(np.arange(6), (5, 1)))
    with pytest.raises(RuntimeError):
        torch.multinomial(torch.zeros(3), 1)


def test_randperm_is_an_order() -> None:
    torch.manual_seed(0)
    drawn = torch.randperm(50).numpy()
    np.testing.assert_array_equal(np.sort(drawn), np.arange(50))
    assert not np.array_equal(drawn, np.arange(50))


def test_a_state_can_be_kept_and_continued() -> None:
    state = torch.get_rng_state()
    first = torch.rand(3).tolist()
    torch.set_rng_state(state)
    assert torch.rand(3).tolist() == first
