"""Sequences in, sequences and last states out: ``RNN``, ``LSTM``, ``GRU``.

Parameters are called and shaped as PyTorch's: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``,
``bias_hh_l0``, ``..._l1``, ``..._reverse``. Every layer and direction is one loop.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from engine.creation import empty, zeros
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.nn import init
from engine.nn.functional.activation import dropout as drop
from engine.nn.functional.recurrent import (
    State,
    Turn,
    Weights,
    gru_turn,
    lstm_turn,
    rnn_turn,
    run_layer,
)
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.utils.rnn import PackedSequence, masked, packed_as
from engine.shaping import cat, stack
from engine.tensor import Tensor


class RNNBase(Module):
    """What the three have in common: weights, layers, directions, packed sequences."""

    gates = 1
    states = 1
    weight_ih_l0: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_kinds(input_size, hidden_size, bias, batch_first)
        _check_sizes(input_size, hidden_size, num_layers, proj_size)
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError("dropout should be a number in range [0, 1]")
        if dropout > 0 and num_layers == 1:
            warnings.warn("dropout acts between layers, and there is one layer", stacklevel=3)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * self._directions
            for direction in range(self._directions):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, width),
                    "weight_hh": (rows, out),
                    **({"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}),
                    **({"weight_hr": (proj_size, hidden_size)} if proj_size else {}),
                }
                for name, shape in shapes.items():
                    key = name + _suffix(layer, direction)
                    self.register_parameter(key, Parameter(empty(*shape, dtype=dtype)))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform within ``1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: weights need no common block of memory here."""

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        parts += [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join(parts)

    # -- forward --------------------------------------------------------------------------------

    def _turn(self, weights: Weights, projection: Tensor | None) -> Turn:
        raise NotImplementedError

    def _run(self, input: Any, hx: State | None) -> tuple[Any, State]:
        """The outputs, and each state as [layers * directions, N, ...]."""
        if isinstance(input, PackedSequence):
            x, mask, lengths = masked(input)
            start = self._start(x, _sorted(hx, input.sorted_indices))
            out, last = self._layers(x, start, mask)
            return packed_as(input, out, lengths), _sorted(last, input.unsorted_indices) or ()
        if input.dim() not in (2, 3):
            name = type(self).__name__
            text = f"{name}: expected input to be 2D or 3D, got {input.dim()}D"
            raise ValueError(message(user_location(), text))
        batched = input.dim() == 3
        if hx is not None and any(h.dim() != input.dim() for h in hx):
            text = f"the state must be {input.dim()}D for {input.dim()}D input"
            raise ShapeError(message(user_location(), text))
        if not batched:
            hx = None if hx is None else tuple(h.unsqueeze(1) for h in hx)
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if self.batch_first and batched else x
        out, last = self._layers(x, self._start(x, hx), None)
        if not batched:
            return out.squeeze(1), tuple(h.squeeze(1) for h in last)
        return (out.transpose(0, 1) if self.batch_first else out), last

    def _start(self, x: Tensor, hx: State | None) -> State:
        """The first state, checked; zeros where there is none."""
        own = self.weight_ih_l0.dtype
        if x.dtype != own and modes.autocast is None:
            name = type(self).__name__
            text = f"{name} input dtype ({x.dtype}) does not match weight dtype ({own})"
            raise ValueError(message(user_location(), text))
        if x.shape[-1] != self.input_size:
            text = f"input has {x.shape[-1]} features, the layer takes {self.input_size}"
            raise ShapeError(message(user_location(), text))
        widths = (self.proj_size or self.hidden_size, self.hidden_size)[: self.states]
        shapes = [(self.num_layers * self._directions, x.shape[1], width) for width in widths]
        if hx is None:
            return tuple(zeros(*shape, dtype=x.dtype) for shape in shapes)
        for h, shape in zip(hx, shapes, strict=True):
            if tuple(h.shape) != shape:
                text = f"expected hidden size {shape}, got {list(h.shape)}"
                raise ShapeError(message(user_location(), text))
        return hx

    def _layers(self, x: Tensor, start: State, mask: Tensor | None) -> tuple[Tensor, State]:
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self._directions):
                weights, projection = self._weights(layer, direction)
                state = tuple(h[len(last)] for h in start)
                turn = self._turn(weights, projection)
                out, end = run_layer(turn, weights, x, state, mask, reverse=direction == 1)
                outputs.append(out)
                last.append(end)
            x = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
            if self.dropout > 0 and layer < self.num_layers - 1:
                x = drop(x, self.dropout, self.training)
        return x, tuple(stack(parts) for parts in zip(*last, strict=True))

    def _weights(self, layer: int, direction: int) -> tuple[Weights, Tensor | None]:
        suffix = _suffix(layer, direction)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        found = [getattr(self, name + suffix, None) for name in names]
        return found[:4], found[4]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, in order."""
        pairs = [
            self._weights(layer, direction)
            for layer in range(self.num_layers)
            for direction in range(self._directions)
        ]
        found = [[*weights, projection] for weights, projection in pairs]
        return [[w for w in one if isinstance(w, Parameter)] for one in found]


class RNN(RNNBase):
    """Elman layers: [T, N, I] -> ([T, N, D*H], [L*D, N, H]). Arguments as in PyTorch.

    ``nonlinearity`` is "tanh" or "relu". Input may be unbatched ([T, I]), ``batch_first``, or a
    ``PackedSequence``.
    """

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any) -> None:
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        if nonlinearity not in ("tanh", "relu"):
            text = f"unknown nonlinearity {nonlinearity!r}; there are tanh and relu"
            raise ValueError(message(user_location(), text))
        super().__init__(*args, **kwargs)
        self.nonlinearity = nonlinearity

    def _turn(self, weights: Weights, projection: Tensor | None) -> Turn:
        return rnn_turn(weights, self.nonlinearity)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


class LSTM(RNNBase):
    """Long short-term memory: [T, N, I] -> ([T, N, D*H], (h [L*D, N, H], c [L*D, N, H])).

    Arguments, parameter names and gate order as in PyTorch, ``proj_size`` included.
    """

    gates = 4
    states = 2

    def _turn(self, weights: Weights, projection: Tensor | None) -> Turn:
        return lstm_turn(weights, projection)

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        out, (h, c) = self._run(input, hx)
        return out, (h, c)


class GRU(RNNBase):
    """Gated recurrent units: [T, N, I] -> ([T, N, D*H], [L*D, N, H]); as in PyTorch."""

    gates = 3

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            text = "proj_size argument is only supported for LSTM, not RNN or GRU"
            raise ValueError(message(user_location(), text))
        super().__init__(*args, **kwargs)

    def _turn(self, weights: Weights, projection: Tensor | None) -> Turn:
        return gru_turn(weights)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}" + ("_reverse" if direction else "")


def _sorted(hx: State | None, order: Tensor | None) -> State | None:
    """States in the order of a packed sequence's rows."""
    if hx is None or order is None:
        return hx
    return tuple(h.index_select(1, order) for h in hx)


def _check_kinds(input_size: Any, hidden_size: Any, bias: Any, batch_first: Any) -> None:
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(flag).__name__}")


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> None:
    if input_size <= 0:
        raise ValueError("input_size must be greater than zero")
    if hidden_size <= 0:
        raise ValueError("hidden_size must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0 or proj_size >= hidden_size:
        raise ValueError("proj_size should be at least zero and smaller than hidden_size")
