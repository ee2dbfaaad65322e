"""Datasets in, batches in order, shuffled, ahead of time, or an error with its traceback out."""

import gc
import itertools
import threading
import time
import traceback
from typing import Any

import numpy as np
import pytest

import engine
from engine.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


class Items(Dataset[Any]):
    def __init__(self, fail_at: int = -1) -> None:
        self.fail_at = fail_at

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.fail_at:
            raise LookupError(f"no item {index}")
        return {"x": engine.tensor(X[index]), "pair": (index, X[index])}


class Count(IterableDataset[int]):
    """0 to 9; a worker gives its share."""

    def __iter__(self) -> Any:
        info = get_worker_info()
        return iter(range(10) if info is None else range(info.id, 10, info.num_workers))


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("engine-dataloader")]


def numbers(loader: Any) -> list[int]:
    return [int(i) for (batch,) in loader for i in batch]


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_batches_in_order(num_workers: int) -> None:
    loader = DataLoader(TensorDataset(X, engine.tensor(Y)), 4, num_workers=num_workers)
    for _ in range(2):
        batches = list(loader)
        assert [len(y) for _, y in batches] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), X)
    assert len(loader) == 3
    assert batches[0][1].dtype == engine.int64
    assert len(DataLoader(TensorDataset(X, Y), 4, drop_last=True)) == 2
    assert not workers()


def test_a_batch_has_its_own_memory() -> None:
    table = X.copy()
    (batch,) = next(iter(DataLoader(TensorDataset(table), 10)))
    batch.zero_()
    np.testing.assert_array_equal(table, X)


def test_shuffling_obeys_the_seed() -> None:
    loader = DataLoader(TensorDataset(Y), 5, shuffle=True)
    engine.manual_seed(1)
    first, second = numbers(loader), numbers(loader)
    engine.manual_seed(1)
    assert numbers(loader) == first
    assert first != second
    assert sorted(first) == list(range(10))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_pass_resumes_from_the_generators_state(num_workers: int) -> None:
    generator = engine.Generator()
    options: dict[str, Any] = {"shuffle": True, "generator": generator, "num_workers": num_workers}
    loader = DataLoader(TensorDataset(Y), 2, **options)
    generator.manual_seed(3)
    numbers(loader)
    state = generator.get_state()
    whole, after = numbers(loader), numbers(loader)
    generator.set_state(state)
    assert numbers(itertools.islice(loader, 3, None)) == whole[6:]
    assert numbers(loader) == after


def test_numpys_generator() -> None:
    orders = [
        numbers(DataLoader(TensorDataset(Y), 3, True, generator=np.random.default_rng(3)))
        for _ in "ab"
    ]
    assert orders[0] == orders[1]


def test_items_are_collated() -> None:
    (batch,) = DataLoader(Items(), 10)
    assert batch["x"].shape == (10, 2)
    counted, arrays = batch["pair"]
    assert counted.tolist() == list(range(10))
    np.testing.assert_array_equal(arrays.numpy(), X)
    (own,) = DataLoader(Items(), 10, collate_fn=len)
    assert own == 10
    single = next(iter(DataLoader(Items(), None)))
    assert single["x"].shape == (2,)
    chosen = [b["pair"][0].tolist() for b in DataLoader(Items(), batch_sampler=[[7, 1], [2]])]
    assert chosen == [[7, 1], [2]]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_streams(num_workers: int) -> None:
    loader = DataLoader(Count(), 3, num_workers=num_workers)
    for _ in range(2):
        batches = [batch.tolist() for batch in loader]
        assert sorted(itertools.chain(*batches)) == list(range(10))
    wanted = [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]
    assert batches == (wanted if num_workers == 2 else [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]])
    whole = DataLoader(Count(), 3, drop_last=True, num_workers=num_workers)
    assert all(len(batch) == 3 for batch in whole)
    assert sorted(DataLoader(Count(), None, num_workers=num_workers)) == list(range(10))


def test_workers_know_themselves() -> None:
    seen: list[Any] = []

    def begin(number: int) -> None:
        info = get_worker_info()
        assert info is not None
        seen.append((number, info.id, info.num_workers, info.seed))

    dataset = Items()
    loader = DataLoader(dataset, 2, num_workers=2, worker_init_fn=begin, persistent_workers=True)
    list(loader)
    threads = set(workers())
    list(loader)
    assert set(workers()) == threads
    assert [row[:3] for row in sorted(seen)] == [(0, 0, 2), (1, 1, 2)]
    assert len({row[3] for row in seen}) == 2
    assert get_worker_info() is None
    del loader
    gc.collect()
    for thread in threads:
        thread.join(5)

    def fail(number: int) -> None:
        raise LookupError("no start")

    with pytest.raises(LookupError, match="no start"):
        list(DataLoader(dataset, 2, num_workers=1, worker_init_fn=fail))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_comes_with_its_traceback(num_workers: int) -> None:
    with pytest.raises(LookupError, match="no item 5") as caught:
        list(DataLoader(Items(fail_at=5), 2, num_workers=num_workers))
    assert "__getitem__" in "".join(traceback.format_exception(caught.value))
    assert not workers()


def test_abandoned_iteration_ends_its_threads() -> None:
    iterator: Any = iter(DataLoader(TensorDataset(X, Y), 1, num_workers=2))
    next(iterator)
    assert workers()
    iterator.close()
    assert not workers()


def test_batches_are_fetched_ahead_and_no_further() -> None:
    asked: list[int] = []

    class Noted(Items):
        def __getitem__(self, index: int) -> Any:
            asked.append(index)
            return index

    iterator: Any = iter(DataLoader(Noted(), 1, num_workers=1, prefetch_factor=3))
    next(iterator)
    deadline = time.monotonic() + 5
    while len(asked) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert asked == [0, 1, 2, 3]
    iterator.close()


def test_a_slow_worker_times_out() -> None:
    class Slow(Items):
        def __getitem__(self, index: int) -> Any:
            time.sleep(0.3)
            return index

    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds"):
        list(DataLoader(Slow(), 1, num_workers=1, timeout=0.05))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"num_workers": -1}, "num_workers"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch_factor": 2}, "prefetch_factor"),
        ({"persistent_workers": True}, "persistent_workers"),
        ({"sampler": [0], "shuffle": True}, "shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive"),
    ],
    ids=str,
)
def test_bad_arguments(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        DataLoader(TensorDataset(X), **options)
    if "shuffle" in options or "batch_sampler" in options:
        with pytest.raises(ValueError, match="IterableDataset"):
            DataLoader(Count(), shuffle=True)
