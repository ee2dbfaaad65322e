"""The tests of ``recorded.py`` in, run in a process whose Numba simulates CUDA, their end out."""

import os
import subprocess
import sys
from pathlib import Path


def test_what_a_step_asks_of_a_device():
    file = Path(__file__).with_name("recorded.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", str(file)]
    done = subprocess.run(
        command,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
