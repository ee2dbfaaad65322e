"""Datasets of datasets and samplers in, the same items as one by one, gathered at once, out."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import engine
from engine import data
from engine.data.dataset import takes

X = np.arange(24, dtype=np.float32).reshape(12, 2)
Y = np.arange(12)
TABLE = data.TensorDataset(X, Y)
Pair = namedtuple("Pair", "a b")


class OneByOne(data.TensorDataset):
    """A table whose items are its own affair."""

    def __getitem__(self, index: Any) -> Any:
        return tuple(t * 2 for t in super().__getitem__(index))


def plain(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: plain(part) for key, part in batch.items()}
    return [plain(part) for part in batch] if isinstance(batch, list) else batch.tolist()


NESTED = {
    "table": TABLE,
    "subset": data.Subset(TABLE, [5, 0, 7, 7]),
    "concat": data.ConcatDataset([TABLE, data.Subset(TABLE, (3, 2)), TABLE]),
    "subset of concat": data.Subset(TABLE + TABLE, np.array([23, 0, 11, 12])),
    "stack": data.StackDataset(TABLE, data.TensorDataset(Y)),
    "stack by name": data.StackDataset(a=TABLE, b=data.Subset(TABLE, list(range(12)))),
}


@pytest.mark.parametrize("name", NESTED)
def test_gathered_at_once_is_one_by_one(name: str) -> None:
    dataset = NESTED[name]
    order = [3, 0, 1, 2, 3]
    assert takes(dataset)
    (found,) = data.DataLoader(dataset, batch_sampler=[order])
    assert plain(found) == plain(data.default_collate([dataset[i] for i in order]))


def test_what_cannot_be_gathered_is_asked_item_by_item() -> None:
    own = OneByOne(X, Y)
    other = data.TensorDataset(X.astype(np.float64), Y)
    for dataset in (own, data.Subset(own, [1, 2]), TABLE + own, TABLE + other):
        assert not takes(dataset)
    (found,) = data.DataLoader(data.Subset(own, [1, 2]), 2)
    assert found[1].tolist() == [2, 4]


def test_concat_and_chain() -> None:
    both = TABLE + data.TensorDataset(X, Y + 100)
    assert len(both) == 24
    assert [int(both[i][1]) for i in (0, 11, 12, -1)] == [0, 11, 100, 111]
    with pytest.raises(ValueError, match="absolute value"):
        both[-25]
    with pytest.raises(IndexError):
        both[24]
    with pytest.raises(AssertionError):
        data.ConcatDataset([])

    class Stream(data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter([1, 2])

    assert list(Stream() + Stream()) == [1, 2, 1, 2]


def test_random_split() -> None:
    generator = engine.Generator().manual_seed(1)
    parts = data.random_split(range(10), [0.3, 0.3, 0.4], generator)
    assert [len(part) for part in parts] == [3, 3, 4]
    assert sorted(i for part in parts for i in part) == list(range(10))
    again = data.random_split(range(10), [3, 3, 4], engine.Generator().manual_seed(1))
    assert [part.indices for part in parts] == [part.indices for part in again]
    assert [len(p) for p in data.random_split(range(10), [0.33, 0.33, 0.34])] == [4, 3, 3]
    for lengths in ([3, 4], [0.5, 0.6], [-0.5, 1.5]):
        with pytest.raises(ValueError, match=r"Sum of input lengths|not between 0 and 1"):
            data.random_split(range(10), lengths)
    with pytest.warns(UserWarning, match="index 0 is 0"):
        data.random_split(range(3), [0.0, 1.0])


def test_samplers() -> None:
    engine.manual_seed(0)
    assert list(data.SequentialSampler(Y)) == list(range(12))
    assert sorted(data.RandomSampler(Y)) == list(range(12))
    drawn = list(data.RandomSampler(Y, num_samples=30))
    assert [sorted(drawn[at : at + 12]) for at in (0, 12)] == [list(range(12))] * 2
    replaced = list(data.RandomSampler(Y, replacement=True, num_samples=1000))
    assert np.all(np.bincount(replaced, minlength=12) > 40)
    assert sorted(data.SubsetRandomSampler([4, 2, 9])) == [2, 4, 9]
    assert list(data.BatchSampler(data.SequentialSampler(Y), 5, True)) == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    ]
    assert list(data.BatchSampler(iter([3, 1, 2]), 2, False)) == [[3, 1], [2]]


def test_weighted_samplers() -> None:
    engine.manual_seed(0)
    sampler = data.WeightedRandomSampler([1.0, 0.0, 3.0], 4000)
    counts = np.bincount(list(sampler), minlength=3)
    assert counts[1] == 0
    assert counts[2] / 4000 == pytest.approx(0.75, abs=0.03)
    without = [
        tuple(data.WeightedRandomSampler([1.0, 2.0, 1.0], 2, replacement=False))
        for _ in range(2000)
    ]
    assert all(a != b for a, b in without)
    # The first is 1 with probability 1/2; then 0 or 2 with 1/2 each.
    assert without.count((1, 0)) / 2000 == pytest.approx(0.25, abs=0.04)
    assert without.count((0, 1)) / 2000 == pytest.approx(1 / 6, abs=0.04)


def test_samplers_refuse() -> None:
    for build in (
        lambda: data.RandomSampler(Y, num_samples=0),
        lambda: data.WeightedRandomSampler([1.0], 0),
        lambda: data.WeightedRandomSampler(np.ones((1, 1)), 1),  # type: ignore[arg-type]
        lambda: data.BatchSampler([1], 0, False),
    ):
        with pytest.raises(ValueError, match="should be"):
            build()
    with pytest.raises(TypeError, match="replacement"):
        data.RandomSampler(Y, 1)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="multinomial"):
        list(data.WeightedRandomSampler([0.0], 1))


def test_collate() -> None:
    collate = data.default_collate
    assert collate([1.5, 2]).dtype == engine.float64
    assert collate([True, False]).dtype == engine.bool
    assert collate([("a", 1), ("b", 2)])[0] == ("a", "b")
    assert collate([np.float32(1), np.float32(2)]).dtype == engine.float32
    assert plain(collate([{"a": 1}, {"a": 2}])) == {"a": [1, 2]}
    named = collate([Pair(1, X[0]), Pair(2, X[1])])
    assert isinstance(named, Pair)
    assert named.b.shape == (2, 2)
    for bad, kind in (
        ([[1, 2], [3]], RuntimeError),
        ([np.zeros(2), np.zeros(3)], RuntimeError),
        ([None], TypeError),
        ([np.array(["a"])], TypeError),
    ):
        with pytest.raises(kind):
            collate(bad)
    converted = data.default_convert({"a": X, "b": (1, "s", np.float32(2))})
    assert converted["a"].shape == (12, 2)
    assert converted["b"][1] == "s"
