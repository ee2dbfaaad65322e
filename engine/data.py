"""A dataset in, batches of tensors out, in order or shuffled, prepared a few ahead.

A dataset that can slice itself by an array of indices (``TensorDataset``) gives a batch in one
indexing operation; any other is asked for its items one by one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.creation import from_numpy, randperm, tensor as make_tensor
from engine.shaping import stack
from engine.tensor import Tensor

Indices: TypeAlias = npt.NDArray[np.int64]
_END = object()


class Dataset:
    """Items by number. A subclass writes ``__len__`` and ``__getitem__``."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError


class TensorDataset(Dataset):
    """Tensors (or arrays) of equal length; an item is a tuple with one row of each.

    Raises ValueError where the lengths differ.
    """

    def __init__(self, *tensors: Tensor | npt.NDArray[Any]) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else from_numpy(t) for t in tensors)
        if len({len(t) for t in self.tensors}) != 1:
            lengths = [len(t) for t in self.tensors]
            raise ValueError(f"tensors of one dataset must be equally long, not {lengths}")
        self._arrays = tuple(t.detach().numpy() for t in self.tensors)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def take(self, indices: Indices) -> tuple[Tensor, ...]:
        """The rows of ``indices``, all at once."""
        return tuple(from_numpy(array[indices]) for array in self._arrays)


class DataLoader:
    """Iterate over ``dataset`` in batches.

    ``shuffle`` draws a new order for every pass from the engine's generator (``manual_seed``), or
    from ``generator``, a ``numpy.random.Generator`` or a seed. ``prefetch`` batches are prepared
    ahead by a thread (0: none), which ends when the iteration ends or is abandoned; an error in
    the dataset is raised here with its own traceback.

    >>> for x, y in DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True): ...
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: np.random.Generator | int | None = None,
        prefetch: int = 2,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size should be a positive integer, not {batch_size}")
        if prefetch < 0:
            raise ValueError(f"prefetch should not be negative, not {prefetch}")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.collate_fn, self.prefetch = drop_last, collate_fn, prefetch
        self.generator = np.random.default_rng(generator) if generator is not None else None

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches(self._order())
        return _ahead(batches, self.prefetch) if self.prefetch else batches

    def _order(self) -> Indices:
        """Drawn by the caller's thread, so that a seed decides it whatever the thread does."""
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        if self.generator is not None:
            return self.generator.permutation(count)
        order: Indices = randperm(count).numpy()
        return order

    def _batches(self, order: Indices) -> Iterator[Any]:
        for at in range(len(self)):
            indices = order[at * self.batch_size : (at + 1) * self.batch_size]
            if self.collate_fn is None and hasattr(self.dataset, "take"):
                yield self.dataset.take(indices)
            else:
                collate_fn = self.collate_fn or collate
                yield collate_fn([self.dataset[int(i)] for i in indices])


def collate(items: Sequence[Any]) -> Any:
    """Items as one batch: tensors, arrays and numbers stacked, tuples and dicts part by part."""
    first = items[0]
    if isinstance(first, Tensor):
        return stack(list(items))
    if isinstance(first, np.ndarray | np.generic):
        return from_numpy(np.stack(items))
    if isinstance(first, int | float):
        return make_tensor(list(items))
    if isinstance(first, Mapping):
        return {key: collate([item[key] for item in items]) for key in first}
    if isinstance(first, tuple | list):
        parts = [collate(part) for part in zip(*items, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return list(items)


def _ahead(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """``batches`` through a bounded queue that a thread fills."""
    ready: queue.Queue[Any] = queue.Queue(count)
    stop = threading.Event()
    worker = threading.Thread(
        target=_fill, args=(batches, ready, stop), name="engine-dataloader", daemon=True
    )
    worker.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        stop.set()
        while not ready.empty():  # frees a worker that waits for a place in the queue
            ready.get_nowait()
        worker.join()


class _Failure:
    """An error on its way from the worker, with its traceback."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _fill(batches: Iterator[Any], ready: queue.Queue[Any], stop: threading.Event) -> None:
    last: Any = _END
    try:
        for batch in batches:
            if not _put(ready, batch, stop):
                return
    except BaseException as error:
        last = _Failure(error)
    _put(ready, last, stop)


def _put(ready: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Wait for a place; False once the consumer has gone."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
