"""Losses of single elements in, their mean or sum out (or themselves)."""

from __future__ import annotations

from engine.tensor import Tensor


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """``losses`` under 'mean', 'sum' or 'none'; ValueError for another word."""
    match reduction:
        case "mean":
            return losses.mean()
        case "sum":
            return losses.sum()
        case "none":
            return losses
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
