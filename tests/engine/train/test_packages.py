"""A package that is missing in, one sentence with the remedy out."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.train import need


def test_a_package_that_is_there() -> None:
    assert need("json") is json


def test_a_missing_package_ends_the_script_with_the_remedy() -> None:
    with pytest.raises(SystemExit) as stop:
        need("no_such_package_of_voices.parts")
    assert stop.value.code == (
        "no_such_package_of_voices is missing, and this needs it: pip install 'tracefuse[examples]'"
    )


def test_what_a_package_itself_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking_something.py").write_text("import something_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit, match=r"^something_that_is_not_there .*tracefuse\[other\]"):
        need("lacking_something", extra="other")


def test_the_command_line_shows_that_sentence_alone(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from engine.train import need\nneed('no_such_package_of_voices')")
    done = CliRunner().invoke(main, ["run", str(script)])
    assert done.exit_code == 1
    assert done.stderr.startswith("no_such_package_of_voices is missing")
    assert "Traceback" not in done.stderr
    assert "no_such_package_of_voices" not in sys.modules
