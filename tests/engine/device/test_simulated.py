"""The tests of ``*on_a_gpu.py`` in, run in a process whose Numba simulates CUDA, their end out."""

import os
import subprocess
import sys
from pathlib import Path


def test_tensors_of_a_simulated_gpu():
    files = [str(path) for path in sorted(Path(__file__).parent.glob("*on_a_gpu.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", *files]
    done = subprocess.run(
        command,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
