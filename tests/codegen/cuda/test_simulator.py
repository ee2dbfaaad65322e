"""The tests of ``simulated.py``, where Numba simulates CUDA."""

from pathlib import Path


def test_every_op_and_network_in_the_simulator(passes_simulated):
    files = ["simulated.py", "simulated_attention.py", "simulated_tensor.py"]
    passes_simulated([Path(__file__).with_name(name) for name in files])
