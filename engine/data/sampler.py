"""A length or weights in, an order of indices out: in turn, shuffled, weighted, in batches.

A sampler of this file draws its whole order at once, as an array (``order``), from the engine's
stream (``manual_seed``) or from a generator of its own; iterating gives the same as ints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from engine.data.dataset import Indices
from engine.random import Generator, permutation, uniform_values
from ir.types import F64

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Indices in some order. A subclass writes ``__iter__``, and ``__len__`` if it has one."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("a sampler writes __iter__")


class _Ordered(Sampler[int]):
    """A sampler that knows its order at once."""

    def order(self) -> Indices:
        """The indices of one pass, drawn now."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())


class SequentialSampler(_Ordered):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def order(self) -> Indices:
        return np.arange(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(_Ordered):
    """A random order; with ``replacement`` each index is drawn from all of them.

    ``generator`` is an engine's or NumPy's generator; without one the engine's stream is used.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if type(replacement) is not bool:
            raise TypeError(f"replacement should be a boolean value, but got {replacement=}")
        check_generator(generator)
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator
        if type(self.num_samples) is not int or self.num_samples <= 0:
            text = "num_samples should be a positive integer value, but got num_samples="
            raise ValueError(f"{text}{self.num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices a pass has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> Indices:
        count, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            drawn: Indices = np.floor(uniforms(wanted, self.generator) * count).astype(np.int64)
            return drawn
        rounds = [permuted(count, self.generator) for _ in range(-(-wanted // count))]
        return np.concatenate(rounds)[:wanted]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Ordered):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices, self.generator = indices, generator

    def order(self) -> Indices:
        return np.asarray(self.indices, np.int64)[permuted(len(self.indices), self.generator)]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Ordered):
    """``num_samples`` indices with probabilities in proportion to ``weights``."""

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        if type(num_samples) is not int or num_samples <= 0:
            text = "num_samples should be a positive integer value, but got num_samples="
            raise ValueError(f"{text}{num_samples}")
        if type(replacement) is not bool:
            raise ValueError(f"replacement should be a boolean value, but got {replacement=}")
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            text = "weights should be a 1d sequence but given weights have shape"
            raise ValueError(f"{text} {self.weights.shape}")
        self.num_samples, self.replacement = num_samples, replacement
        self.generator = generator

    def order(self) -> Indices:
        weights, wanted = self.weights, self.num_samples
        if (weights < 0).any() or not np.isfinite(weights).all() or not weights.sum() > 0:
            raise RuntimeError("invalid multinomial distribution: weights must be >= 0, sum > 0")
        if self.replacement:
            edges = np.cumsum(weights)
            drawn = uniforms(wanted, self.generator) * edges[-1]
            found: Indices = np.searchsorted(edges, drawn, side="right").astype(np.int64)
            return found
        if wanted > len(weights):
            text = "cannot draw more samples than there are weights without replacement"
            raise RuntimeError(text)
        # The order in which exponential clocks of these rates ring.
        waits = -np.log1p(-uniforms(len(weights), self.generator))
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(weights > 0, waits / weights, np.inf)
        return np.argsort(times, kind="stable")[:wanted]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of ``sampler`` in lists of ``batch_size``; the last may be shorter."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if type(batch_size) is not int or batch_size <= 0:
            text = "batch_size should be a positive integer value, but got batch_size="
            raise ValueError(f"{text}{batch_size}")
        if type(drop_last) is not bool:
            raise ValueError(f"drop_last should be a boolean value, but got {drop_last=}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return (list(map(int, batch)) for batch in self.batches())

    def batches(self) -> Iterator[Any]:
        """The lists; arrays, sliced from the whole order, where the sampler knows it."""
        if not ordered(self.sampler):
            return self._gathered(iter(self.sampler))
        order = self.sampler.order()  # type: ignore[attr-defined]
        stop = len(order) - (len(order) % self.batch_size if self.drop_last else 0)
        return (order[at : at + self.batch_size] for at in range(0, stop, self.batch_size))

    def _gathered(self, indices: Iterator[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in indices:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (rest > 0 and not self.drop_last)


def ordered(sampler: Any) -> bool:
    """Whether a sampler's ``order`` is what iterating it gives: no subclass has its own way."""
    owner = next((kind for kind in type(sampler).__mro__ if "__iter__" in vars(kind)), None)
    return owner is _Ordered


def permuted(count: int, generator: Any) -> Indices:
    """A random order of ``range(count)``."""
    if isinstance(generator, np.random.Generator):
        return generator.permutation(count)
    return permutation(count, generator)


def uniforms(count: int, generator: Any) -> Any:
    """Float64 numbers in [0, 1)."""
    if isinstance(generator, np.random.Generator):
        return generator.random(count)
    return uniform_values((count,), F64, generator).numpy()


def check_generator(generator: Any) -> None:
    """TypeError for what is no generator."""
    if generator is not None and not isinstance(generator, Generator | np.random.Generator):
        raise TypeError(f"generator: an engine's or NumPy's, not {type(generator).__name__}")
