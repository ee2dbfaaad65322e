"""One step in, the next state out: ``RNNCell``, ``LSTMCell``, ``GRUCell``."""

from __future__ import annotations

import math
from typing import Any

from engine.creation import empty, zeros
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.nn import init
from engine.nn.functional.linear import linear
from engine.nn.functional.recurrent import State, Weights, gru_turn, lstm_turn, rnn_turn
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.tensor import Tensor


class RNNCellBase(Module):
    """Weights of one step: ``weight_ih`` [G*H, I], ``weight_hh`` [G*H, H], and two biases."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform within ``1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        bias = "" if self.bias else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"

    @property
    def _weights(self) -> Weights:
        return (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def _projected(self, input: Tensor, state: State | None, count: int) -> tuple[Tensor, State]:
        """The input's part of the gates, and the state, both [N, ...]."""
        if input.dim() not in (1, 2):
            text = f"{type(self).__name__}: expected input to be 1D or 2D, got {input.dim()}D"
            raise ValueError(message(user_location(), text))
        if input.shape[-1] != self.input_size:
            text = f"input has {input.shape[-1]} features, the cell takes {self.input_size}"
            raise ShapeError(message(user_location(), text))
        if state is None:
            shape = (*input.shape[:-1], self.hidden_size)
            state = (zeros(*shape, dtype=input.dtype),) * count
        for h in state:
            if h.dim() != input.dim() or h.shape[-1] != self.hidden_size:
                text = f"hidden state {list(h.shape)} does not fit input {list(input.shape)}"
                raise ShapeError(message(user_location(), text))
        return linear(input, self.weight_ih, self.bias_ih), state


class RNNCell(RNNCellBase):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``: [N, I], [N, H] -> [N, H]."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            text = f"unknown nonlinearity {nonlinearity!r}; there are tanh and relu"
            raise RuntimeError(message(user_location(), text))
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        p, state = self._projected(input, None if hx is None else (hx,), 1)
        return rnn_turn(self._weights, self.nonlinearity)(p, state)[0]

    def extra_repr(self) -> str:
        other = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + other


class LSTMCell(RNNCellBase):
    """One LSTM step: [N, I], ([N, H], [N, H]) -> (h, c), both [N, H]."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        p, state = self._projected(input, hx, 2)
        h, c = lstm_turn(self._weights)(p, state)
        return h, c


class GRUCell(RNNCellBase):
    """One GRU step: [N, I], [N, H] -> [N, H]."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        p, state = self._projected(input, None if hx is None else (hx,), 1)
        return gru_turn(self._weights)(p, state)[0]
