"""A sequence, a state and a layer's weights in, the outputs and the last state out, as a loop.

What a turn does with its input alone is done for all turns at once before the loop; inside it is
only what needs the state. So compile time does not depend on the sequence's length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from engine.arithmetic import relu, sigmoid, tanh, where
from engine.creation import zeros_like
from engine.loops import scan
from engine.nn.functional.linear import linear
from engine.tensor import Tensor

State: TypeAlias = tuple[Tensor, ...]
Turn: TypeAlias = Callable[[Tensor, State], State]  # (projected input, state) -> state
Weights: TypeAlias = Sequence["Tensor | None"]  # weight_ih, weight_hh, bias_ih, bias_hh


def rnn_turn(weights: Weights, nonlinearity: str) -> Turn:
    """``h = tanh(p + W_hh h + b_hh)``, or with relu."""
    _, recurrent, _, bias = weights
    activate = tanh if nonlinearity == "tanh" else relu
    return lambda p, state: (activate(p + _product(state[0], recurrent, bias)),)


def lstm_turn(weights: Weights, projection: Tensor | None = None) -> Turn:
    """Gates in PyTorch's order (input, forget, cell, output); state (h, c).

    With ``projection`` ([P, H]) the output is ``W_hr h``.
    """
    _, recurrent, _, bias = weights

    def turn(p: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = (p + _product(h, recurrent, bias)).chunk(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h if projection is None else linear(h, projection)), c

    return turn


def gru_turn(weights: Weights) -> Turn:
    """Gates in PyTorch's order (reset, update, new); the reset gate acts after ``W_hh``."""
    _, recurrent, _, bias = weights

    def turn(p: Tensor, state: State) -> State:
        (h,) = state
        pr, pz, pn = p.chunk(3, -1)
        hr, hz, hn = _product(h, recurrent, bias).chunk(3, -1)
        update = sigmoid(pz + hz)
        new = tanh(pn + sigmoid(pr + hr) * hn)
        return (new + update * (h - new),)

    return turn


def run_layer(
    turn: Turn,
    weights: Weights,
    input: Tensor,
    state: State,
    mask: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """One direction of one layer: [T, N, I] -> ([T, N, H], last state).

    ``mask`` ([T, N, 1], bool) says which steps of which sequence there are: a state passes
    unchanged through the others, and their outputs are zero.
    """
    first, _, bias, _ = weights
    assert first is not None
    projected = linear(input, first, bias)

    def step(state: State, x: tuple[Tensor, ...]) -> tuple[State, Tensor]:
        new = turn(x[0], state)
        if mask is None:
            return new, new[0]
        kept = tuple(where(x[1], a, b) for a, b in zip(new, state, strict=True))
        return kept, where(x[1], new[0], zeros_like(new[0]))

    xs = (projected,) if mask is None else (projected, mask)
    last, outputs = scan(step, state, xs, reverse=reverse)
    return outputs, last


def _product(h: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    return linear(h, weight, bias)
