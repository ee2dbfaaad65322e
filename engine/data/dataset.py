"""Rows, files or streams in, items by number out: datasets, and datasets made of datasets.

A dataset in memory has ``take(indices)``, which gives a whole batch, collated, in one indexing
operation a column; datasets made of such datasets have it too. ``takes`` says whether a loader may
use it: a subclass that writes ``__getitem__`` and no ``take`` is asked for its items.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from engine.creation import from_numpy
from engine.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)
Indices: TypeAlias = npt.NDArray[np.int64]
Column: TypeAlias = tuple[Any, tuple[int, ...]]


class Dataset(Generic[T_co]):
    """Items by number. A subclass writes ``__getitem__`` and, for most uses, ``__len__``."""

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Any) -> Any:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Items in the order in which they come. A subclass writes ``__iter__``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Any) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors (or arrays) of equal length; an item is a tuple with one row of each.

    AssertionError where the lengths differ, as in PyTorch. The memory is shared, not copied.
    """

    def __init__(self, *tensors: Tensor | npt.NDArray[Any]) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else from_numpy(t) for t in tensors)
        lengths = [len(t) for t in self.tensors]
        if len(set(lengths)) > 1:
            raise AssertionError(f"Size mismatch between tensors: they have {lengths} rows")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def take(self, indices: Indices) -> list[Tensor]:
        """The rows of ``indices``, all at once, in memory of their own."""
        return [self._rows(t.detach(), indices) for t in self.tensors]

    def _rows(self, tensor: Tensor, indices: Indices) -> Tensor:
        rows = from_numpy(tensor.cpu().numpy().take(indices, 0))
        return rows.to(tensor.device) if tensor.is_cuda else rows

    def columns(self) -> list[Column]:
        """The dtype and the row shape of each tensor."""
        return [(t.dtype, tuple(t.shape[1:])) for t in self.tensors]


class StackDataset(Dataset[Any]):
    """Datasets side by side: an item is a tuple (or, by keyword, a dict) of one item of each."""

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError("Supported either tuple- (via args) or dict- (via kwargs) like input")
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        if len({len(part) for part in self.parts()}) != 1:
            raise ValueError("Size mismatch between datasets")

    def parts(self) -> list[Any]:
        """The datasets."""
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def __len__(self) -> int:
        return len(self.parts()[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: part[index] for name, part in self.datasets.items()}
        return tuple(part[index] for part in self.datasets)

    def take(self, indices: Indices) -> Any:
        """A batch of each."""
        if isinstance(self.datasets, dict):
            return {name: part.take(indices) for name, part in self.datasets.items()}
        return [part.take(indices) for part in self.datasets]


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(part, IterableDataset) for part in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(part) for part in self.datasets))

    def parts(self) -> list[Any]:
        """The datasets."""
        return self.datasets

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        at = bisect_right(self.cumulative_sizes, index)
        item: T_co = self.datasets[at][index - (self.cumulative_sizes[at - 1] if at else 0)]
        return item

    def columns(self) -> list[Column] | None:
        """The columns of the parts where they agree and each is a table of tensors, else None."""
        found = [part.columns() if hasattr(part, "columns") else None for part in self.datasets]
        return found[0] if all(columns == found[0] for columns in found) else None

    def take(self, indices: Indices) -> list[Tensor]:
        """The rows of ``indices``: one gather for each part that they lie in."""
        homes = np.searchsorted(self.cumulative_sizes, indices, side="right")
        out = [np.empty((len(indices), *row), dtype) for dtype, row in self.columns() or []]
        for home in np.unique(homes):
            rows = homes == home
            start = self.cumulative_sizes[home - 1] if home else 0
            part = self.datasets[home].take(indices[rows] - start)
            for column, values in zip(out, part, strict=True):
                column[rows] = values.cpu().numpy()
        return [from_numpy(column) for column in out]


class ChainDataset(IterableDataset[T_co]):
    """Streams one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[T_co]:
        for part in self.datasets:
            if not isinstance(part, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield from part

    def __len__(self) -> int:
        return sum(len(part) for part in self.datasets)


class Subset(Dataset[T_co]):
    """The items of ``dataset`` at ``indices``."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def parts(self) -> list[Any]:
        """The dataset."""
        return [self.dataset]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> T_co:
        chosen = [self.indices[i] for i in index] if isinstance(index, list) else None
        item: T_co = self.dataset[self.indices[index] if chosen is None else chosen]
        return item

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        """Several items at once."""
        chosen = [self.indices[i] for i in indices]
        return items_of(self.dataset, chosen)

    def columns(self) -> list[Column] | None:
        """Those of the dataset."""
        return self.dataset.columns() if hasattr(self.dataset, "columns") else None

    def take(self, indices: Indices) -> Any:
        """Those rows of the dataset."""
        return self.dataset.take(np.array([int(self.indices[i]) for i in indices], np.int64))


def items_of(dataset: Any, indices: Sequence[int]) -> list[Any]:
    """The items at ``indices``, by the dataset's ``__getitems__`` where it has one."""
    if getattr(dataset, "__getitems__", None):
        found: list[Any] = dataset.__getitems__(list(indices))
        return found
    return [dataset[i] for i in indices]


def takes(dataset: Any) -> bool:
    """Whether ``dataset.take`` gives what its items would, collated."""
    for kind in type(dataset).__mro__:
        if "take" in vars(kind):
            break
        if "__getitem__" in vars(kind) or "__getitems__" in vars(kind):
            return False
    else:
        return False
    if isinstance(dataset, ConcatDataset) and dataset.columns() is None:
        return False
    return all(takes(part) for part in dataset.parts()) if hasattr(dataset, "parts") else True
