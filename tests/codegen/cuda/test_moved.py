"""A LeNet step in, how many bytes its kernels move against the fewest that they could."""

from codegen.cuda.moved import moved_bytes
from ir.passes import run_passes


def test_bytes_of_a_lenet_step(networks):
    """To and from memory go at most 1.5 times the fewest bytes; blocks ask the cache for more."""
    step = networks.lenet(64)
    found = moved_bytes(run_passes(step.graph), step.donated, {})
    assert 8 << 20 < found.least < 12 << 20
    assert found.least < found.memory <= 1.2 * found.least  # parts of weight gradients
    assert found.memory < found.asked <= 2.5 * found.least
    assert found.kernels <= 31
