"""Sequences of different lengths in, packed and padded batches out; parameters as one vector."""

import numpy as np
import pytest

import engine
from engine import nn
from engine.nn.utils import parameters_to_vector, vector_to_parameters
from engine.nn.utils.rnn import (
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
)

PARTS = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) + 10 * n for n in (2, 4, 1)]


def test_packed_rows_go_step_by_step() -> None:
    packed = pack_sequence([engine.tensor(x) for x in PARTS], enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    long, middle, short = PARTS[1], PARTS[0], PARTS[2]
    rows = [long[0], middle[0], short[0], long[1], middle[1], long[2], long[3]]
    np.testing.assert_array_equal(packed.data.numpy(), np.stack(rows))
    for back, part in zip(unpack_sequence(packed), PARTS, strict=True):
        np.testing.assert_array_equal(back.numpy(), part)


@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_there_and_back(batch_first: bool) -> None:
    padded = pad_sequence([engine.tensor(x) for x in PARTS], batch_first, padding_value=-1.0)
    assert padded.shape == ((3, 4, 2) if batch_first else (4, 3, 2))
    packed = pack_padded_sequence(padded, [2, 4, 1], batch_first, enforce_sorted=False)
    again, lengths = pad_packed_sequence(packed, batch_first, -1.0, total_length=5)
    assert lengths.tolist() == [2, 4, 1]
    kept = again.numpy()[:, :4] if batch_first else again.numpy()[:4]
    np.testing.assert_array_equal(kept, padded.numpy())
    with pytest.raises(RuntimeError, match="fall"):
        pack_padded_sequence(padded, [2, 4, 1], batch_first)


def test_parameters_as_one_vector() -> None:
    net = nn.Linear(2, 3)
    vector = parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    vector_to_parameters(engine.arange(9).float(), net.parameters())
    np.testing.assert_array_equal(net.bias.detach().numpy(), [6.0, 7.0, 8.0])
