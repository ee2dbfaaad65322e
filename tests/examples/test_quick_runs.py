"""Training examples run shortly in: their loss falls, a resumed run is the same to the bit."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import engine
from engine.cli.run import example_files

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# what must fall, and whatever else makes the run shorter still
QUICK: dict[str, tuple[str, list[str]]] = {
    "lenet": ("loss", []),
    "mlp": ("loss", []),
    "resnet": ("loss", []),
    "multitask": ("loss", []),
    "gan": ("distance", ["--epochs", "3"]),
    "language": ("loss", []),
    "genomics": ("loss", []),
    "speech": ("loss", []),
    "detection": ("loss", []),
    "compress": ("loss", []),
    "multimodal": ("loss", []),
}
ELSEWHERE = {"anatomy", "automl"}  # with tests of their own


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every tensor and number of a checkpoint, by a dotted name."""
    if isinstance(value, dict):
        parts = [flat(inner, f"{name}.{key}") for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        parts = [flat(inner, f"{name}.{at}") for at, inner in enumerate(value)]
    else:
        return {name: value.numpy() if isinstance(value, engine.Tensor) else value}
    return {key: inner for part in parts for key, inner in part.items()}


def test_no_example_is_without_a_test() -> None:
    names = {path.stem for path in example_files() if path.resolve().parent == EXAMPLES}
    assert names == set(QUICK) | ELSEWHERE


@pytest.mark.parametrize("name", list(QUICK))
def test_quick_run(name: str, tmp_path: Path, example: Callable[[str], ModuleType]) -> None:
    module = example(name)
    falls, more = QUICK[name]
    common = ["--quick", "--seed", "3", *more]
    figures = module.main([*common, "--out", str(tmp_path / "whole")])
    assert figures
    assert all(np.isfinite(value) for value in figures.values())
    assert list((tmp_path / "whole").glob("*.png"))
    module.main([*common, "--out", str(tmp_path / "parts"), "--stop-after", "1"])
    module.main([*common, "--out", str(tmp_path / "parts"), "--resume"])
    found = [
        flat(engine.load(tmp_path / run / "checkpoint.safetensors")) for run in ("whole", "parts")
    ]
    history = engine.load(tmp_path / "whole" / "checkpoint.safetensors")["history"]
    assert history[-1][falls] < history[0][falls]
    assert set(found[0]) == set(found[1])
    for key, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][key], err_msg=key)


def test_a_checkpoint_of_another_architecture(
    tmp_path: Path, example: Callable[[str], ModuleType]
) -> None:
    module = example("mlp")
    module.main(["--quick", "--epochs", "1", "--out", str(tmp_path)])
    with pytest.raises(engine.serialize.CheckpointError, match="give the options"):
        module.main(["--quick", "--resume", "--hidden", "32", "--out", str(tmp_path)])
