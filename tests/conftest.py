"""Nothing in, an environment for the whole run out: compiled code goes to a folder of its own.

The variable is set before any test imports ``codegen``, and child processes inherit it, so that
no test reads what an earlier run (or the user's own programs) left behind.
"""

import atexit
import os
import shutil
import tempfile

import pytest

_FOLDER = tempfile.mkdtemp(prefix="tracefuse-tests-")
os.environ["TRACEFUSE_CACHE_DIR"] = _FOLDER
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the stored sources")
