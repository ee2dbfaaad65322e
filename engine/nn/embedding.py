"""Integer positions in, learned rows (or sums of bags of them) out."""

from __future__ import annotations

from typing import Any, TypeVar

from engine.creation import empty
from engine.modes import no_grad
from engine.nn import functional as F, init
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.tensor import Tensor

T = TypeVar("T", bound="_Table")


class _Table(Module):
    """A matrix of one row for each position that may come."""

    weight: Parameter

    def _make(self, given: Tensor | None, padding_idx: int | None, dtype: Any, freeze: Any) -> None:
        rows, width = self.num_embeddings, self.embedding_dim
        if padding_idx is not None:
            if not -rows <= padding_idx < rows:
                raise AssertionError("Padding_idx must be within num_embeddings")
            padding_idx %= rows
        self.padding_idx = padding_idx
        if given is not None and tuple(given.shape) != (rows, width):
            raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
        made = empty(rows, width, dtype=dtype) if given is None else given
        self.weight = Parameter(made, not freeze)
        if given is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Standard normal rows; zeros for the padding."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls: type[T], embeddings: Tensor, freeze: bool = True, **options: Any) -> T:
        """A layer over the rows of ``embeddings`` [n, d]; ``freeze`` keeps them as they are."""
        if embeddings.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, width = (int(size) for size in embeddings.shape)
        made: Any = cls
        return made(rows, width, _weight=embeddings, _freeze=freeze, **options)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        for name, default in _SHOWN.items():
            value = getattr(self, name, default)
            text += f", {name}={value!r}" if value != default else ""
        return text


_SHOWN = {
    "padding_idx": None,
    "max_norm": None,
    "norm_type": 2.0,
    "scale_grad_by_freq": False,
    "sparse": False,
    "mode": None,
}


class Embedding(_Table):
    """``F.embedding`` with its table: [...] -> [..., embedding_dim].

    Differs from PyTorch: the gradient of the table is dense; ``sparse=True`` changes nothing.

    >>> nn.Embedding(10, 3)(torch.tensor([[1, 2]])).shape
    Size([1, 2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._make(_weight, padding_idx, dtype, _freeze)

    def forward(self, input: Tensor) -> Tensor:
        lengths = (self.max_norm, self.norm_type, self.scale_grad_by_freq)
        return F.embedding(input, self.weight, self.padding_idx, *lengths)


class EmbeddingBag(_Table):
    """``F.embedding_bag`` with its table: bags of positions -> [bags, embedding_dim]."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        _freeze: bool = False,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type, self.mode = max_norm, norm_type, mode
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.include_last_offset = include_last_offset
        self._make(_weight, padding_idx, dtype, _freeze)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )
