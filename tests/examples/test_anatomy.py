"""The anatomy example run as a reader runs it in, every level of one expression out."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def anatomy() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "anatomy_example", ROOT / "examples" / "anatomy.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def levels(anatomy: ModuleType) -> dict[str, str]:
    return {level.title.split(":")[0]: level.text for level in anatomy.levels()}


def test_every_level_is_there(levels: dict[str, str]) -> None:
    signs = {
        "Graph": "tanh(%",
        "Gradient": "'dw'",
        "Interpreter": "finite difference",
        "Clusters": "core dot",
        "Loops": "memory plan",
        "Numba": "from numba import",
        "LLVM": "fmuladd",
        "Result": "differs by",
    }
    assert [title for title, sign in signs.items() if sign not in levels[title]] == []


def test_the_derivative_is_measured(levels: dict[str, str]) -> None:
    slope, measured = map(float, re.findall(r"(\S+)\n", levels["Interpreter"])[1:])
    assert slope == pytest.approx(measured, rel=1e-4)


def test_native_results_are_the_interpreters(levels: dict[str, str]) -> None:
    errors = [float(text) for text in re.findall(r"differs by (\S+)", levels["Result"])]
    assert len(errors) == 3
    assert max(errors) < 1e-5


def test_markdown_has_the_sections_of_the_page(
    anatomy: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only headings: figures and machine code differ between CPUs."""
    anatomy.main(["--markdown"])
    page = (ROOT / "docs" / "anatomy.md").read_text()

    def headings(text: str) -> list[str]:
        return [line.split(":")[0] for line in text.splitlines() if re.match(r"## \d+\.", line)]

    assert headings(capsys.readouterr().out) == headings(page)
