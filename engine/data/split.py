"""A dataset and lengths (or fractions) in, subsets without common items out."""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

from engine.data.dataset import Subset
from engine.data.sampler import check_generator, permuted


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Any = None
) -> list[Subset[Any]]:
    """Subsets of the given lengths, drawn without replacement.

    Lengths may be fractions that sum to 1; items left by rounding go to the first subsets, one
    each. ValueError where the lengths do not add up; a warning for a subset without items.
    """
    check_generator(generator)
    total = len(dataset)
    fractions = math.isclose(sum(lengths), 1) and sum(lengths) <= 1
    counts: list[Any] = _shares(total, lengths) if fractions else list(lengths)
    if sum(counts) != total:
        text = "Sum of input lengths does not equal the length of the input dataset!"
        raise ValueError(text)
    order = permuted(total, generator).tolist()
    sizes = [operator.index(count) for count in counts]
    pairs = zip(itertools.accumulate(sizes), sizes, strict=True)
    return [Subset(dataset, order[end - size : end]) for end, size in pairs]


def _shares(total: int, fractions: Sequence[float]) -> list[int]:
    for at, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {at} is not between 0 and 1")
    counts = [math.floor(total * fraction) for fraction in fractions]
    for at in range(total - sum(counts)):
        counts[at % len(counts)] += 1
    for at, count in enumerate(counts):
        if count == 0:
            text = f"Length of split at index {at} is 0. This might result in an empty dataset."
            warnings.warn(text, stacklevel=3)
    return counts
