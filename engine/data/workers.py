"""Batches to fetch in, batches in the same order out, fetched by threads a few ahead.

Each worker is one thread with its own shallow copy of the dataset, as PyTorch's worker processes
have theirs; batches go round robin. Threads suit data in memory and files: NumPy's gathers and
reads let other threads run meanwhile. Python code in ``__getitem__`` takes turns with the step's.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError as TooLate
from dataclasses import dataclass
from typing import Any

END = object()


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this thread is, of how many, with its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Local(threading.local):
    info: WorkerInfo | None = None


_local = _Local()


def get_worker_info() -> WorkerInfo | None:
    """The ``WorkerInfo`` of the worker that runs this; None outside of workers."""
    return _local.info


class Worker:
    """One thread that fetches what it is asked for, in that order."""

    def __init__(self, info: WorkerInfo, fetcher: Callable[[Any], Callable[[Any], Any]]) -> None:
        self.info, self._fetcher = info, fetcher
        self._fetch: Callable[[Any], Any] | None = None
        self._thread = ThreadPoolExecutor(1, "engine-dataloader")

    def begin(self, init: Callable[[int], Any] | None) -> Future[Any]:
        """Make the thread's own state; ``init(id)`` is the user's part of it."""
        return self._thread.submit(self._begin, init)

    def _begin(self, init: Callable[[int], Any] | None) -> None:
        _local.info = self.info
        if init is not None:
            init(self.info.id)

    def restart(self) -> None:
        """A new pass over the dataset."""
        self._thread.submit(self._restart)

    def _restart(self) -> None:
        self._fetch = None

    def ask(self, indices: Any) -> Future[Any]:
        """The batch of ``indices``, in time."""
        return self._thread.submit(self._work, indices)

    def _work(self, indices: Any) -> Any:
        if self._fetch is None:
            self._fetch = self._fetcher(self.info.dataset)
        return self._fetch(indices)

    def close(self) -> None:
        """End the thread, once it has done what it is doing."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def hire(
    count: int,
    dataset: Any,
    fetcher: Callable[[Any], Callable[[Any], Any]],
    seed: int,
    init: Callable[[int], Any] | None,
) -> list[Worker]:
    """Start ``count`` workers. What ``init`` raises is raised here."""
    infos = [WorkerInfo(at, count, seed + at, copy.copy(dataset)) for at in range(count)]
    workers = [Worker(info, fetcher) for info in infos]
    try:
        for begun in [worker.begin(init) for worker in workers]:
            begun.result()
    except BaseException:
        dismiss(workers)
        raise
    return workers


def dismiss(workers: Iterable[Worker]) -> None:
    """End the workers' threads."""
    for worker in workers:
        worker.close()


def ahead(
    workers: list[Worker], asked: Iterator[Any], factor: int, timeout: float
) -> Iterator[Any]:
    """The batches of ``asked``, in order; each worker has up to ``factor`` of them to fetch.

    ``asked`` is advanced by the caller's thread, so that a seed decides the order. A worker that
    gives ``END`` is asked no more.
    """
    active = deque(workers)
    waiting: deque[tuple[Worker, Future[Any]]] = deque()
    for worker in workers:
        worker.restart()

    def ask() -> bool:
        indices = next(asked, END) if active else END
        if indices is END:
            return False
        waiting.append((active[0], active[0].ask(indices)))
        active.rotate(-1)
        return True

    while len(waiting) < factor * len(workers) and ask():
        pass
    while waiting:
        worker, promised = waiting.popleft()
        try:
            batch = promised.result(timeout or None)
        except TooLate:
            if promised.done():  # the dataset's own TimeoutError
                raise
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds") from None
        if batch is END:
            if worker in active:
                active.remove(worker)
            continue
        ask()
        yield batch
