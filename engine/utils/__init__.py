"""PyTorch's ``torch.utils`` in, what is there of it out, by the same names."""

from engine.utils import data

__all__ = ["data"]
