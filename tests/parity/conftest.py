"""Files beside the tests in, fixtures out; this folder on the path, so that `cases` is found.

At the end of a run that asked PyTorch's databases, their totals are printed.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
DONE = pytest.StashKey[list[Any]]()


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def workloads() -> ModuleType:
    """`tests/parity/workloads.py`."""
    return load("workloads")


@pytest.fixture(scope="session")
def curves() -> ModuleType:
    """`tests/parity/curves.py`."""
    return load("curves")


@pytest.fixture(scope="session")
def mutations() -> ModuleType:
    """`tests/parity/mutations.py`."""
    return load("mutations")


@pytest.fixture(scope="session")
def reports(pytestconfig: pytest.Config) -> list[Any]:
    """Every report of this run, for the totals at its end."""
    return pytestconfig.stash.setdefault(DONE, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The totals over PyTorch's databases."""
    done = config.stash.get(DONE, [])
    if done:
        from cases.verdicts import total

        terminalreporter.section("agreement with PyTorch's own cases")
        for line in total(done):
            terminalreporter.line(line)
