"""Epochs in, checkpoints and resumed runs out; wrong use in, errors that say what to do out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import engine as torch
from engine import nn
from engine.serialize import CheckpointError
from engine.train import draw_curves, draw_sheet, fit, options, read

QUIET = Console(quiet=True)


class Run:
    """A small network with dropout, which draws from the default stream, and Adam."""

    def __init__(self, width: int = 4) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, width), nn.Dropout(0.5), nn.Linear(width, 1))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.1)
        self.x = torch.ones(8, 3)

    def epoch(self, number: int) -> dict[str, float]:
        self.optimizer.zero_grad()
        loss = ((self.net(self.x) - number) ** 2).mean()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item(), "number": number}

    def go(self, path: Path | None, epochs: int = 4, **how: Any) -> list[dict[str, float]]:
        parts = {"net": self.net, "optimizer": self.optimizer}
        return fit(self.epoch, epochs, parts, checkpoint=path, console=QUIET, **how)


def weights(run: Run) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in run.net.parameters()]


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    whole = Run()
    history = whole.go(None)
    Run().go(tmp_path / "run.safetensors", stop_after=2)
    second = Run()
    assert second.go(tmp_path / "run.safetensors", resume=True) == history
    assert [row["number"] for row in history] == [1, 2, 3, 4]
    for one, other in zip(weights(whole), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    history = Run().go(path)
    assert Run().go(path, resume=True) == history


def test_another_architecture_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    Run().go(path, stop_after=1)
    wider = Run(width=5)
    before = weights(wider)
    with pytest.raises(CheckpointError, match="'net' is of another architecture"):
        wider.go(path, resume=True)
    for one, other in zip(weights(wider), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_parts_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run = Run()
    run.go(path, stop_after=1)
    with pytest.raises(CheckpointError, match="another script"):
        fit(run.epoch, 2, {"net": run.net}, checkpoint=path, resume=True, console=QUIET)
    torch.save(run.net.state_dict(), path)
    with pytest.raises(CheckpointError, match="not the checkpoint of a run"):
        run.go(path, resume=True)
    with pytest.raises(FileNotFoundError, match="train without resuming"):
        run.go(tmp_path / "none", resume=True)


def test_an_epoch_that_fails_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run = Run()
    run.go(path, stop_after=2)
    kept = path.read_bytes()

    def broken(number: int) -> dict[str, float]:
        raise KeyboardInterrupt

    parts = {"net": run.net, "optimizer": run.optimizer}
    with pytest.raises(KeyboardInterrupt):
        fit(broken, 4, parts, checkpoint=path, resume=True, console=QUIET)
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs", "0"], "not at least 1"),
        (["--epochs", "many"], "many is not a whole number"),
        (["--lr", "-1"], "not a positive number"),
        (["--lr", "fast"], "fast is not a number"),
        (["--lr", "nan"], "not a positive number"),
        (["--resume", "--out", "/nowhere/at/all"], "train without it first"),
        (["--out", __file__], "results need a folder"),
        (["--wat"], "unrecognized"),
    ],
)
def test_wrong_options(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = options("thing", "What it does.", epochs=3, batch_size=8, lr=0.1)
    with pytest.raises(SystemExit):
        read(parser, arguments, {})
    assert says in capsys.readouterr().err


def test_quick_changes_defaults_only() -> None:
    def parser() -> Any:
        return options("thing", "What it does.", epochs=30, batch_size=8, lr=0.1)

    assert read(parser(), ["--quick"], {"epochs": 2}).epochs == 2
    assert read(parser(), ["--quick", "--epochs", "5"], {"epochs": 2}).epochs == 5
    assert read(parser(), [], {"epochs": 2}).epochs == 30


def test_pictures(tmp_path: Path) -> None:
    draw_curves([{"loss": 1.0}, {"loss": 0.5}], ["loss"], tmp_path / "new" / "a.png", "Loss")
    images = np.zeros((7, 4, 4))
    draw_sheet(images, tmp_path / "b.png", "Sheet", ["one"] * 7, [True] * 7, columns=4)
    for path in (tmp_path / "new" / "a.png", tmp_path / "b.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
