"""Nothing in, an environment for the whole run out: compiled code goes to a folder of its own.

The variable is set before any test imports ``codegen``, and child processes inherit it, so that
no test reads what an earlier run (or the user's own programs) left behind.
"""

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

_FOLDER = tempfile.mkdtemp(prefix="tracefuse-tests-")
os.environ["TRACEFUSE_CACHE_DIR"] = _FOLDER
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the stored sources")


@pytest.fixture(scope="session", autouse=True)
def _shared() -> Iterator[None]:
    """Threads share the small programs of tests, too, which one thread would run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("codegen.effort"), "LITTLE", -1.0)
        yield


@pytest.fixture(scope="session")
def passes_simulated() -> Callable[[Iterable[Path]], None]:
    """Runs files of tests in a process whose Numba simulates CUDA, and asserts that they pass."""

    def run(files: Iterable[Path]) -> None:
        options = ["-q", "-p", "no:cacheprovider", "-x"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *map(str, sorted(files))],
            env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        assert " passed" in done.stdout

    return run
