"""Sequences in, what NumPy makes of them turn by turn out; a program that does not grow."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

X = np.random.default_rng(0).standard_normal((6, 3, 4))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(layer: nn.LSTM, x: np.ndarray) -> np.ndarray:
    """The equations, one turn after the other."""
    weights = [w.detach().numpy() for w in layer.all_weights[0]]
    into, recurrent, first, second = weights
    h = c = np.zeros((x.shape[1], layer.hidden_size))
    rows = []
    for turn in x:
        gates = turn @ into.T + first + h @ recurrent.T + second
        i, f, g, o = np.split(gates, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        rows.append(h)
    return np.stack(rows)


def test_lstm_is_its_equations() -> None:
    layer = nn.LSTM(4, 5).double()
    for run in (lambda x: layer(x)[0].detach(), engine.jit(lambda x: layer(x)[0].detach())):
        np.testing.assert_allclose(run(engine.tensor(X)).numpy(), by_hand(layer, X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_cell_is_one_turn_of_its_layer(kind: str) -> None:
    layer, cell = getattr(nn, kind)(4, 5), getattr(nn, f"{kind}Cell")(4, 5)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = engine.tensor(X.astype(np.float32))
    state: Any = None
    for turn in x:
        state = cell(turn, state)
    found = state[0] if kind == "LSTM" else state
    wanted = layer(x)[0][-1]
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), atol=1e-6)


def test_a_packed_sequence_is_as_if_alone() -> None:
    layer = nn.GRU(4, 5, bidirectional=True).double()
    packed = pack_padded_sequence(engine.tensor(X), [6, 3, 2])
    out, last = layer(packed)
    padded, _ = pad_packed_sequence(out)
    for at, size in enumerate([6, 3, 2]):
        alone, end = layer(engine.tensor(X[:size, at : at + 1]))
        np.testing.assert_allclose(padded[:size, at].detach().numpy(), alone[:, 0].detach().numpy())
        np.testing.assert_allclose(last[:, at].detach().numpy(), end[:, 0].detach().numpy())


def test_a_longer_sequence_needs_no_more_kernels() -> None:
    layer = nn.LSTM(4, 5)
    kernels = []
    for turns in (16, 64):

        @engine.jit
        def step(x: engine.Tensor) -> list[Any]:
            layer.zero_grad()
            out, (h, c) = layer(x)
            (out.sum() + (h * c).sum()).backward()
            return [p.grad for p in layer.parameters()]

        step(engine.ones(turns, 2, 4))
        (entry,) = step.programs
        kernels.append(len(entry.bound.program.kernels.nests))
    assert kernels[0] == kernels[1]
