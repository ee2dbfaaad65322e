"""Scores, or pairs of vectors, and targets in, a loss out: the margin losses and distances."""

from __future__ import annotations

from collections.abc import Callable

from engine.nn import functional as F
from engine.nn.module import Module
from engine.tensor import Tensor


class _Margin(Module):
    """A loss with a margin and a reduction."""

    default = 0.0

    def __init__(
        self,
        margin: float | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        del size_average, reduce
        self.margin = self.default if margin is None else margin
        self.reduction = reduction


class HingeEmbeddingLoss(_Margin):
    """``F.hinge_embedding_loss`` with its options kept."""

    default = 1.0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Margin):
    """``F.margin_ranking_loss`` with its options kept."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        options = {"margin": self.margin, "reduction": self.reduction}
        return F.margin_ranking_loss(input1, input2, target, **options)  # type: ignore[arg-type]


class CosineEmbeddingLoss(_Margin):
    """``F.cosine_embedding_loss`` with its options kept."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        options = {"margin": self.margin, "reduction": self.reduction}
        return F.cosine_embedding_loss(input1, input2, target, **options)  # type: ignore[arg-type]


class SoftMarginLoss(Module):
    """``F.soft_margin_loss`` with its options kept."""

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        del size_average, reduce
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(Module):
    """``F.multilabel_soft_margin_loss`` with its options kept."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        del size_average, reduce
        self.register_buffer("weight", weight)
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(Module):
    """``F.multilabel_margin_loss`` with its options kept."""

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        del size_average, reduce
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(Module):
    """``F.multi_margin_loss`` with its options kept."""

    weight: Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        del size_average, reduce
        if p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        self.register_buffer("weight", weight)
        self.p, self.margin, self.reduction = p, margin, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        options = (self.p, self.margin, self.weight)
        return F.multi_margin_loss(input, target, *options, reduction=self.reduction)


class TripletMarginLoss(Module):
    """``F.triplet_margin_loss`` with its options kept."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        del size_average, reduce
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: margin must be greater than 0, got {margin}")
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap
        self.reduction = reduction

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        options = (self.margin, self.p, self.eps, self.swap)
        return F.triplet_margin_loss(anchor, positive, negative, *options, reduction=self.reduction)


class TripletMarginWithDistanceLoss(Module):
    """``F.triplet_margin_with_distance_loss`` with its options kept."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.distance_function = distance_function or F.pairwise_distance
        self.margin, self.swap, self.reduction = margin, swap, reduction

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CosineSimilarity(Module):
    """``F.cosine_similarity`` along ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """``F.pairwise_distance`` by the ``p``-norm."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
