"""Positions and PyTorch's table in, equal rows, bags and gradients from the engine's out."""

from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((9, 4))
PLACES = RNG.integers(0, 9, (3, 5))
STARTS = np.array([0, 2, 2, 9])


def compare(mine: Any, other: Any, compiled: bool = False) -> None:
    """Values, and the gradient of the table, through ``mine`` and ``other`` of (table, ...)."""

    def step(table: Any) -> Any:
        table = table.detach().requires_grad_()
        out = mine(table)
        (out * out).sum().backward()
        return out.detach(), table.grad

    found, grad = (engine.jit(step) if compiled else step)(engine.tensor(TABLE))
    table = torch.tensor(TABLE, requires_grad=True)
    wanted = other(table)
    (wanted * wanted).sum().backward()
    np.testing.assert_allclose(found.numpy(), wanted.detach().numpy(), rtol=1e-7)
    np.testing.assert_allclose(grad.numpy(), table.grad.numpy(), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("padding", [None, 0, -2])
def test_embedding(padding: int | None, compiled: bool) -> None:
    ours, theirs = engine.tensor(PLACES), torch.tensor(PLACES)
    compare(
        lambda table: F.embedding(ours, table, padding_idx=padding),
        lambda table: torch.nn.functional.embedding(theirs, table, padding_idx=padding),
        compiled,
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_gradients_by_frequency(scaled: bool) -> None:
    compare(
        lambda table: F.embedding(engine.tensor(PLACES), table, scale_grad_by_freq=scaled),
        lambda table: torch.nn.functional.embedding(
            torch.tensor(PLACES), table, scale_grad_by_freq=scaled
        ),
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("flat", [False, True])
def test_bags(mode: str, flat: bool, compiled: bool) -> None:
    places = PLACES.reshape(-1) if flat else PLACES
    given = (places, STARTS) if flat else (places,)
    ours, theirs = [engine.tensor(x) for x in given], [torch.tensor(x) for x in given]
    compare(
        lambda table: F.embedding_bag(ours[0], table, *ours[1:], mode=mode, padding_idx=1),
        lambda table: torch.nn.functional.embedding_bag(
            theirs[0], table, *theirs[1:], mode=mode, padding_idx=1
        ),
        compiled,
    )


def test_rows_too_long_are_shortened_in_place() -> None:
    ours = nn.Embedding.from_pretrained(engine.tensor(TABLE), max_norm=1.0)
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(TABLE), max_norm=1.0)
    found, wanted = ours(engine.tensor(PLACES)), theirs(torch.tensor(PLACES))
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours.weight.numpy(), theirs.weight.numpy(), rtol=1e-6)
