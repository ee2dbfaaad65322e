"""A dataset and a sampler in, batches of tensors out, in the caller's thread or ahead of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from engine.data.collate import default_collate, default_convert
from engine.data.dataset import IterableDataset, items_of, takes
from engine.data.pinning import pinned
from engine.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    check_generator,
    uniforms,
)
from engine.data.workers import END, Worker, ahead, dismiss, hire


class DataLoader:
    """Iterate over ``dataset`` in batches; arguments, defaults and errors are PyTorch's.

    ``shuffle`` draws a new order for every pass from the engine's stream (``manual_seed``), or
    from ``generator``, an engine's or a ``numpy.random.Generator``; a pass is repeated by
    restoring that generator's state. Data in memory (``TensorDataset``, also through ``Subset``,
    ``ConcatDataset`` and ``StackDataset``) are gathered a batch at a time.

    Differences: workers are threads (``num_workers`` of them fetch ``prefetch_factor`` batches
    each ahead of the caller), so a dataset needs no pickling and ``__getitem__`` shares the
    interpreter; ``in_order`` changes nothing, and ``multiprocessing_context`` is an error. An
    exception in a worker is raised here as it is, with its own traceback.

    Differs from PyTorch: the same seed shuffles in another order; workers are threads, not
    processes.

    >>> for x, y in DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True): ...
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Sequence[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if multiprocessing_context is not None:
            raise ValueError("multiprocessing_context: workers are threads, not processes")
        check_generator(generator)
        self.streamed = isinstance(dataset, IterableDataset)
        _check_sampling(self.streamed, batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset, self.num_workers = dataset, num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn, self.generator = timeout, worker_init_fn, generator
        self.persistent_workers, self.in_order = persistent_workers, in_order
        self.drop_last, self.shuffle = drop_last, bool(shuffle)
        if sampler is None and not self.streamed and batch_sampler is None:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        self.sampler = sampler
        self.batch_size = None if batch_sampler is not None else batch_size
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler or (), batch_size, drop_last)
        self.batch_sampler = batch_sampler
        batched = batch_sampler is not None
        self._default = collate_fn is None or collate_fn is default_collate
        plain: Callable[[Any], Any] = default_collate if batched else default_convert
        self.collate_fn = collate_fn or plain
        self._workers: list[Worker] = []

    def __len__(self) -> int:
        if self.streamed and self.batch_size is not None:
            whole, rest = divmod(len(self.dataset), self.batch_size)
            return whole + (rest > 0 and not self.drop_last)
        if self.streamed:
            return len(self.dataset)
        return len(self._indices_source())  # type: ignore[arg-type]

    def _indices_source(self) -> Iterable[Any]:
        source = self.batch_sampler if self.batch_sampler is not None else self.sampler
        assert source is not None
        return source

    def _asked(self) -> Iterator[Any]:
        """What to fetch, one entry a batch, drawn by the caller's thread."""
        if self.streamed:
            return itertools.repeat(None)
        source = self._indices_source()
        if type(source) is BatchSampler:
            return source.batches()
        return iter(source)

    def __iter__(self) -> Iterator[Any]:
        asked = self._asked()
        if self.num_workers == 0:
            fetch = self._fetcher(self.dataset)
            return iter(lambda: fetch(next(asked, END)), END)
        return self._ahead(asked)

    def _ahead(self, asked: Iterator[Any]) -> Iterator[Any]:
        workers = self._workers or self._hired()
        if self.persistent_workers:
            self._workers = workers
        factor = self.prefetch_factor or 1
        batches = ahead(workers, asked, factor, self.timeout)
        return batches if self.persistent_workers else _closing(batches, workers)

    def _hired(self) -> list[Worker]:
        seed = int(uniforms(1, self.generator).item() * 2**31)
        return hire(self.num_workers, self.dataset, self._fetcher, seed, self.worker_init_fn)

    def _fetcher(self, dataset: Any) -> Callable[[Any], Any]:
        """A function from indices to a batch (or ``END``), for one pass over ``dataset``."""
        fetch = self._plain_fetcher(dataset)
        if not self.pin_memory:
            return fetch

        def fetch_pinned(at: Any) -> Any:
            batch = fetch(at)
            return batch if batch is END else pinned(batch)

        return fetch_pinned

    def _plain_fetcher(self, dataset: Any) -> Callable[[Any], Any]:
        if self.streamed:
            return self._stream(iter(dataset))
        if self.batch_sampler is None:
            return lambda at: at if at is END else self.collate_fn(dataset[at])
        if self._default and takes(dataset):
            return lambda at: at if at is END else dataset.take(_array(at))
        return lambda at: at if at is END else self.collate_fn(items_of(dataset, _ints(at)))

    def _stream(self, items: Iterator[Any]) -> Callable[[Any], Any]:
        def fetch(_: Any) -> Any:
            if self.batch_size is None:
                item = next(items, END)
                return item if item is END else self.collate_fn(item)
            batch: list[Any] = list(itertools.islice(items, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                return END
            return self.collate_fn(batch)

        return fetch


def _closing(batches: Iterator[Any], workers: list[Worker]) -> Iterator[Any]:
    """``batches``; the workers end with the iteration, or when it is abandoned."""
    try:
        yield from batches
    finally:
        dismiss(workers)


def _array(indices: Any) -> Any:
    return np.asarray(indices, np.int64)


def _ints(indices: Any) -> Any:
    return indices.tolist() if isinstance(indices, np.ndarray) else indices


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        text = "num_workers option should be non-negative; use num_workers=0 to fetch in turn"
        raise ValueError(text)
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor needs num_workers > 0")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if prefetch_factor == 0:
        raise AssertionError("prefetch_factor must be greater than 0")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_sampling(
    streamed: bool,
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Any,
    batch_sampler: Any,
    drop_last: bool,
) -> None:
    given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
    for name, value in given.items() if streamed else ():
        if value is not None:
            text = f"DataLoader with IterableDataset: expected unspecified {name} option"
            raise ValueError(f"{text}, but got {name}={value}")
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            text = "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler,"
            raise ValueError(f"{text} and drop_last")
    elif batch_size is None and drop_last:
        text = "batch_size=None option disables auto-batching and is mutually exclusive with"
        raise ValueError(f"{text} drop_last")
