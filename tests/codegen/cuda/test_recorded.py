"""The tests of ``recorded.py``, where Numba simulates CUDA."""

from pathlib import Path


def test_what_a_step_asks_of_a_device(passes_simulated):
    passes_simulated([Path(__file__).with_name("recorded.py")])
