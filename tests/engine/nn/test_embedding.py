"""Positions and a table in, NumPy's rows (or their sums) out; what a step may learn of it."""

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

TABLE = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
PLACES = np.array([[1, 4, 1], [6, 0, 2]])


def test_rows_and_their_gradient_eager_and_compiled() -> None:
    layer = nn.Embedding.from_pretrained(engine.tensor(TABLE), freeze=False, padding_idx=4)

    def step(places: engine.Tensor) -> tuple[engine.Tensor, engine.Tensor]:
        layer.zero_grad()
        out = layer(places)
        (out * 2.0).sum().backward()
        assert layer.weight.grad is not None
        return out.detach(), layer.weight.grad

    counts = np.bincount(PLACES.reshape(-1), minlength=7) * 2.0
    counts[4] = 0.0  # the padding learns nothing
    for run in (step, engine.jit(step)):
        out, grad = run(engine.tensor(PLACES))
        np.testing.assert_array_equal(out.numpy(), TABLE[PLACES])
        np.testing.assert_array_equal(grad.numpy(), np.repeat(counts[:, None], 3, 1))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode: str) -> None:
    places, starts = engine.tensor([1, 4, 1, 6, 0]), engine.tensor([0, 2, 2])
    out = F.embedding_bag(places, engine.tensor(TABLE), starts, mode=mode)
    combine = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    rows = [combine(TABLE[[1, 4]], 0), np.zeros(3), combine(TABLE[[1, 6, 0]], 0)]
    np.testing.assert_allclose(out.numpy(), np.stack(rows), rtol=1e-6)


def test_a_frozen_table_and_a_printed_one() -> None:
    layer = nn.Embedding.from_pretrained(engine.tensor(TABLE))
    assert not layer.weight.requires_grad
    assert repr(nn.Embedding(5, 2, padding_idx=-1)) == "Embedding(5, 2, padding_idx=4)"
    with pytest.raises(AssertionError, match="Padding_idx"):
        nn.Embedding(5, 2, padding_idx=5)
