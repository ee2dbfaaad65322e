"""Datasets in, batches in order, shuffled, ahead of time, or an error with its traceback out."""

import threading
import time
import traceback
from typing import Any

import numpy as np
import pytest

import engine
from engine.data import DataLoader, Dataset, TensorDataset

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


class Items(Dataset):
    def __init__(self, fail_at: int = -1) -> None:
        self.fail_at = fail_at

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.fail_at:
            raise LookupError(f"no item {index}")
        return {"x": engine.tensor(X[index]), "pair": (index, X[index])}


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "engine-dataloader"]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_in_order(prefetch: int) -> None:
    loader = DataLoader(TensorDataset(X, engine.tensor(Y)), 4, prefetch=prefetch)
    batches = list(loader)
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert len(loader) == 3
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), X)
    assert batches[0][1].dtype == engine.int64
    assert len(DataLoader(TensorDataset(X, Y), 4, drop_last=True)) == 2


def test_shuffling_obeys_the_seed() -> None:
    loader = DataLoader(TensorDataset(Y), 5, shuffle=True)

    def order() -> list[int]:
        return [int(i) for (batch,) in loader for i in batch]

    engine.manual_seed(1)
    first, second = order(), order()
    engine.manual_seed(1)
    assert order() == first
    assert first != second
    assert sorted(first) == list(range(10))
    with_own = [list(DataLoader(TensorDataset(Y), 10, shuffle=True, generator=3)) for _ in "ab"]
    assert with_own[0][0][0].tolist() == with_own[1][0][0].tolist()


def test_items_are_collated() -> None:
    (batch,) = DataLoader(Items(), 10)
    assert batch["x"].shape == (10, 2)
    numbers, arrays = batch["pair"]
    assert numbers.tolist() == list(range(10))
    np.testing.assert_array_equal(arrays.numpy(), X)
    (own,) = DataLoader(Items(), 10, collate_fn=len)
    assert own == 10


def test_an_error_comes_with_its_traceback() -> None:
    with pytest.raises(LookupError, match="no item 5") as caught:
        list(DataLoader(Items(fail_at=5), 2))
    assert "__getitem__" in "".join(traceback.format_exception(caught.value))
    assert not workers()


def test_abandoned_iteration_ends_its_thread() -> None:
    iterator = iter(DataLoader(TensorDataset(X, Y), 1))
    next(iterator)
    iterator.close()
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not workers()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="equally long"):
        TensorDataset(X, Y[:3])
    with pytest.raises(ValueError, match="batch_size"):
        DataLoader(TensorDataset(X), 0)
