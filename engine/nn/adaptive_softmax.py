"""Features and classes sorted by frequency in, log-probabilities by clusters of classes out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from engine.arithmetic import ge, lt, where
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.nn.containers import ModuleList, Sequential
from engine.nn.functional.checks import misfit
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.shaping import cat
from engine.tensor import Tensor
from ir.table import Array


class ASMoutput(NamedTuple):
    """The log-probability of each sample's target [n], and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over many classes, the rare ones through narrow layers (Grave et al., 2017).

    Classes below ``cutoffs[0]`` are in the head; those from one cutoff to the next are a cluster
    with ``in_features // div_value**i`` features. ``forward(input [n, in_features], target [n])``
    gives ``output`` [n] and ``loss`` []; without n, both are scalars.

    Differs from PyTorch: every cluster is computed for every sample, so that sizes do not depend
    on targets.
    """

    head: Linear
    tail: ModuleList

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        ends = list(cutoffs)
        _check_cutoffs(ends, n_classes)
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*ends, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = ends[0], len(ends)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, dtype=dtype)
        self.tail = ModuleList()
        for at, (low, high) in enumerate(pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (at + 1))
            first = Linear(in_features, hidden, bias=False, dtype=dtype)
            self.tail.append(Sequential(first, Linear(hidden, high - low, bias=False, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection.children():
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        _check_shapes(input_, target_)
        batched = target_.ndim > 0
        input = input_ if batched else input_.unsqueeze(0)
        target = target_ if batched else target_.unsqueeze(0)
        self._check_targets(target)
        head = self.head(input).log_softmax(1)
        place = where(lt(target, self.shortlist_size), target, 0)
        found: Any = 0.0
        for at, (low, high) in enumerate(pairwise(self.cutoffs)):
            inside = ge(target, low) & lt(target, high)
            local = self.tail[at](input).log_softmax(1)
            own = local.gather(1, where(inside, target - low, 0).unsqueeze(1)).squeeze(1)
            found = where(inside, own, found)
            place = where(inside, self.shortlist_size + at, place)
        output = found + head.gather(1, place.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return ASMoutput(output if batched else output.squeeze(0), loss)

    def _check_targets(self, target: Tensor) -> None:
        """RuntimeError for a class that is not there; in a step, checked before every run."""
        classes = self.n_classes

        def rule(values: Array) -> None:
            if values.size and not (values.min() >= 0 and values.max() < classes):
                text = (
                    f"Target values should be in [0, {classes - 1}], but values in range "
                    f"[{values.min()}, {values.max()}] were found."
                )
                raise ShapeError(message(user_location(), text))

        if modes.trace is not None:
            modes.trace.check(target, rule)
        else:
            rule(target.detach().cpu().numpy())

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: [n, in_features] -> [n, n_classes]."""
        return self._all(input, self.head(input))

    def _all(self, input: Tensor, scores: Tensor) -> Tensor:
        head, size = scores.log_softmax(1), self.shortlist_size
        parts = [head[:, :size]]
        for at, projection in enumerate(self.tail):
            parts.append(projection(input).log_softmax(1) + head[:, size + at].unsqueeze(1))
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class: [n, in_features] -> [n]; the head decides where it can."""
        scores = self.head(input)
        first = scores.argmax(1)
        return where(first < self.shortlist_size, first, self._all(input, scores).argmax(1))


def _check_cutoffs(cutoffs: list[int], n_classes: int) -> None:
    if not cutoffs:
        raise ValueError("cutoffs should be a sequence of length larger than 0")
    rising = all(a < b for a, b in pairwise(cutoffs)) and cutoffs[0] > 0
    if not rising or cutoffs[-1] > n_classes - 1 or any(int(c) != c for c in cutoffs):
        raise ValueError(
            "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
            "order, where each value is between 1 and n_classes-1"
        )


def _check_shapes(input: Tensor, target: Tensor) -> None:
    if target.ndim > 1:
        raise misfit("0D or 1D target tensor expected, multi-target not supported")
    if input.ndim != target.ndim + 1:
        raise misfit(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with size {list(input.shape)}"
        )
    if target.ndim and input.shape[0] != target.shape[0]:
        raise misfit("Input and target should have the same size in the batch dimension.")
