"""A short search in, the same trials out whether it was stopped and resumed or not."""

from pathlib import Path

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")


def trials(path: Path) -> list[tuple[dict, dict, str]]:
    study = optuna.load_study(study_name="automl", storage=f"sqlite:///{path}")
    return [(t.params, t.intermediate_values, t.state.name) for t in study.trials]


def test_a_resumed_search_is_the_same(tmp_path: Path, example) -> None:
    module = example("automl")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    figures = module.main(["--quick", "--seed", "3", "--out", str(whole)])
    assert all(np.isfinite(value) for value in figures.values())
    assert figures["compiled"] + figures["known"] == 6, "a step and a prediction for each trial"
    assert (whole / "trials.png").exists()
    module.main(["--quick", "--seed", "3", "--out", str(parts), "--stop-after", "2"])
    again = module.main(["--quick", "--seed", "3", "--out", str(parts), "--resume"])
    assert again["accuracy"] == figures["accuracy"]
    assert trials(whole / "study.db") == trials(parts / "study.db")
    assert len(trials(whole / "study.db")) == 3
    with pytest.raises(SystemExit, match="give the options that it was made with"):
        module.main(["--quick", "--epochs", "4", "--out", str(parts), "--resume"])
    (parts / "study.db").write_bytes(b"no database")
    with pytest.raises(SystemExit, match="not a study; search without --resume"):
        module.main(["--quick", "--out", str(parts), "--resume"])


def test_equal_networks_share_their_programs(example) -> None:
    module = example("automl")
    training, _, _ = module.splits()
    module.Training(module.DEFAULT, training, 0, 64).epoch()
    other = module.Training({**module.DEFAULT, "lr": 7e-3, "decay": 3e-4}, training, 1, 64)
    other.epoch()
    assert other.programs() == (0, 1)
