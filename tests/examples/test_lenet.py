"""The LeNet example run as a reader runs it in, a trained network and its pictures out."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import engine


@pytest.fixture
def lenet(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("lenet")


def test_trains_to_98_percent_and_leaves_its_pictures(lenet: ModuleType, tmp_path: Path) -> None:
    figures = lenet.main(["--out", str(tmp_path)])
    assert figures["accuracy"] >= 0.98
    assert figures["accuracy"] > figures["baseline"]
    for name in ("loss.png", "predictions.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    weights = engine.load(tmp_path / "lenet.safetensors")
    assert weights["conv1.weight"].shape == (6, 1, 5, 5)


def test_enlarging_keeps_range_and_means(lenet: ModuleType) -> None:
    images = np.random.default_rng(0).random((3, 8, 8))
    large = lenet.enlarge(images)
    assert large.shape == (3, 1, 32, 32)
    assert large.dtype == np.float32
    assert large.min() >= images.min() - 1e-6
    assert large.max() <= images.max() + 1e-6
    flat = lenet.enlarge(np.full((1, 8, 8), 0.25))
    np.testing.assert_allclose(flat, 0.25, rtol=1e-6)
