"""Sequences in, sequences out: the transformer, with PyTorch's parameter names."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np

from engine.creation import from_numpy
from engine.dtypes import as_dtype, float32
from engine.nn import functional as F, init
from engine.nn.activation import Dropout
from engine.nn.attention import MultiheadAttention
from engine.nn.containers import ModuleList
from engine.nn.functional.checks import misfit
from engine.nn.layers import LayerNorm
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.tensor import Tensor

Activation: TypeAlias = "str | Callable[[Tensor], Tensor]"


def activation_of(given: Activation) -> Callable[[Tensor], Tensor]:
    """The function of a name, "relu" or "gelu", or the given function."""
    named: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
    if not isinstance(given, str):
        return given
    if given not in named:
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return named[given]


class _Layer(Module):
    """What both kinds of layer share: a feed-forward part, and dropout after each part."""

    def _make_feed(
        self, d_model: int, dim_feedforward: int, dropout: float, bias: bool, dtype: Any
    ) -> None:
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)

    def _make_norms(
        self, d_model: int, eps: float, bias: bool, dropout: float, dtype: Any, parts: int
    ) -> None:
        for at in range(1, parts + 1):
            setattr(self, f"norm{at}", LayerNorm(d_model, eps, bias=bias, dtype=dtype))
        for at in range(1, parts + 1):
            setattr(self, f"dropout{at}", Dropout(dropout))

    def _fed(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return out

    def _residual(self, x: Tensor, part: Callable[[Tensor], Tensor], at: int) -> Tensor:
        """``x`` and what ``part`` adds to it, normalised before it or after both."""
        norm, drop = getattr(self, f"norm{at}"), getattr(self, f"dropout{at}")
        out: Tensor = x + drop(part(norm(x))) if self.norm_first else norm(x + drop(part(x)))
        return out


def _attended(
    attend: Module, memory: Tensor | None, mask: Tensor | None, padding: Tensor | None
) -> Callable[[Tensor], Tensor]:
    """Attention of a sequence to ``memory``, or to itself."""

    def part(x: Tensor) -> Tensor:
        source = x if memory is None else memory
        masks = {"attn_mask": mask, "key_padding_mask": padding}
        out: Tensor = attend(x, source, source, need_weights=False, **masks)[0]
        return out

    return part


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers, each added to its input and normalised."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
        )
        self._make_feed(d_model, dim_feedforward, dropout, bias, dtype)
        self.norm_first = norm_first
        self._make_norms(d_model, layer_norm_eps, bias, dropout, dtype, 2)
        self.activation = activation_of(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        attend = _attended(self.self_attn, None, src_mask, src_key_padding_mask)
        return self._residual(self._residual(src, attend, 1), self._fed, 2)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's result, two linear layers."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"batch_first": batch_first, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **options)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **options)
        self._make_feed(d_model, dim_feedforward, dropout, bias, dtype)
        self.norm_first = norm_first
        self._make_norms(d_model, layer_norm_eps, bias, dropout, dtype, 3)
        self.activation = activation_of(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = _attended(self.self_attn, None, tgt_mask, tgt_key_padding_mask)
        other = _attended(self.multihead_attn, memory, memory_mask, memory_key_padding_mask)
        x = self._residual(self._residual(tgt, own, 1), other, 2)
        return self._residual(x, self._fed, 3)


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, one after the other, and a norm at the end."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList([deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.register_module("norm", norm)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a layer, one after the other, and a norm at the end."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList([deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.register_module("norm", norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder: src [s, n, e] and tgt [t, n, e] -> [t, n, e] (or batch first)."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        options = (*given, batch_first, norm_first, bias, None, dtype)
        norms = [LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype) for _ in range(2)]
        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*options), num_encoder_layers, norms[0]
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*options), num_decoder_layers, norms[1]
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for param in self.parameters():
            if param.ndim > 1:
                init.xavier_uniform_(param)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise misfit(
                "the feature number of src and tgt must be equal to d_model: "
                f"src {list(src.shape)}, tgt {list(tgt.shape)}, d_model {self.d_model}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        out: Tensor = self.decoder(tgt, memory, *masks)
        return out

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """[sz, sz]: 0 where a place may look, minus infinity above the diagonal."""
        above = np.triu(np.full((sz, sz), -math.inf), 1)
        return from_numpy(above.astype(as_dtype(dtype or float32)))
