"""Training examples run shortly in: their loss falls, a resumed run is the same to the bit."""

import sys
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


def held(folder: Path) -> dict[str, Any]:
    """What all files of a run hold, its own checkpoint and those of further networks."""
    files = sorted(folder.glob("*.safetensors"))
    return {
        key: value for path in files for key, value in flat(engine.load(path), path.stem).items()
    }


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
    history = engine.load(tmp_path / "whole" / "checkpoint.safetensors")["history"]
    assert history[-1][falls] < history[0][falls]
    whole, parts = (held(tmp_path / run) for run in ("whole", "parts"))
    assert set(whole) == set(parts)
    for key, value in whole.items():
        np.testing.assert_array_equal(value, parts[key], err_msg=key)


def test_a_checkpoint_of_another_architecture(
    tmp_path: Path, example: Callable[[str], ModuleType]
) -> None:
    module = example("mlp")
    module.main(["--quick", "--epochs", "1", "--out", str(tmp_path)])
    with pytest.raises(engine.serialize.CheckpointError, match="give the options"):
        module.main(["--quick", "--resume", "--hidden", "32", "--out", str(tmp_path)])
    (tmp_path / "other").mkdir()
    engine.save({"w": engine.ones(2)}, tmp_path / "other" / "checkpoint.safetensors")
    with pytest.raises(engine.serialize.CheckpointError, match="not the checkpoint of a run"):
        module.main(["--quick", "--resume", "--out", str(tmp_path / "other")])


@pytest.mark.parametrize("name", [*QUICK, "automl"])
def test_a_flag_that_is_not_there(
    name: str, example: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        example(name).main(["--epoch-count", "3"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "unrecognized arguments: --epoch-count 3" in said
    assert "[--epochs EPOCHS]" in said


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("resnet", ["--width", "0"], "--width: 0 is not at least 1"),
        ("gan", ["--width", "wide"], "--width: wide is not a whole number"),
        ("lenet", ["--lr", "fast"], "--lr: fast is not a number"),
        ("language", ["--heads", "3"], "they share --width 128 and must divide it"),
        ("detection", ["--images", "31"], "give a batch at least, 32"),
        ("speech", ["--mixtures", "31"], "give a batch at least, 32"),
        ("genomics", ["--sequences", "767"], "give three batches, 768"),
        ("multitask", ["--resume", "--out", "/nowhere"], "train without it first"),
    ],
)
def test_wrong_values(
    name: str,
    wrong: list[str],
    says: str,
    example: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        example(name).main(wrong)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("lenet", "sklearn"),
        ("detection", "sklearn"),
        ("speech", "captcha"),
        ("genomics", "logomaker"),
        ("automl", "optuna"),
        ("mlp", "matplotlib"),
    ],
)
def test_a_package_that_is_not_installed(
    name: str,
    package: str,
    example: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for loaded in list(sys.modules):
        if loaded.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    with pytest.raises(
        SystemExit, match=f"{package} is missing.*pip install 'tracefuse\\[examples]'"
    ):
        example(name).main(["--quick", "--epochs", "1", "--out", str(tmp_path)])
