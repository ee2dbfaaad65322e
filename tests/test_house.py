"""The repository's files in, a verdict out: the few rules of the house that a linter cannot see."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("ir", "codegen", "engine", "tests", "examples", "benchmarks")
PYTHON = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "golden" not in path.parts  # golden kernels are generated
]
PROSE = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "Makefile"]
PRIVATE_PATH = re.compile(r"(?<![\w.~])/(?:home|root|Users|work|mnt)/\w")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_module_is_documented_and_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "a module opens by saying what goes in and out"
    assert len(text.splitlines()) <= 400, "a reader's patience ends at 400 lines"


def test_no_path_of_somebodys_machine() -> None:
    found = [
        f"{name(path)}: {hit.group()}"
        for path in [*PYTHON, *PROSE]
        for hit in PRIVATE_PATH.finditer(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


def test_tests_are_no_package() -> None:
    """An `__init__.py` in tests/engine would make it shadow `engine`."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
