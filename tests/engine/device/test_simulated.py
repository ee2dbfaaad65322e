"""The tests of ``*on_a_gpu.py``, where Numba simulates CUDA."""

from pathlib import Path


def test_tensors_of_a_simulated_gpu(passes_simulated):
    passes_simulated(Path(__file__).parent.glob("*on_a_gpu.py"))
