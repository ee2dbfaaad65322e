"""Results that are kept or let go of in, whose memory the next one lies in out."""

import numpy as np

import engine
from codegen.recycle import KEPT, LEAST, Recycler

F32 = np.dtype(np.float32)
LARGE = (LEAST // 4,)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_what_was_let_go_of_is_given_out_again() -> None:
    memory = Recycler()
    first = memory.empty(0, LARGE, F32)
    where = address(first)
    del first
    assert address(memory.empty(0, LARGE, F32)) == where


def test_what_is_held_is_left_alone() -> None:
    memory = Recycler()
    held = [memory.empty(0, LARGE, F32) for _ in range(2 * KEPT)]
    assert len({address(array) for array in held}) == len(held)
    part = held[-1][5:]
    where = address(held[-1])
    held.clear()
    assert address(memory.empty(0, LARGE, F32)) != where, "a view holds it still"
    del part


def test_outputs_and_sizes_do_not_share() -> None:
    memory = Recycler()
    one = address(memory.empty(0, LARGE, F32))
    assert address(memory.empty(1, LARGE, F32)) != one
    larger = memory.empty(0, (2, *LARGE), F32)
    assert larger.shape == (2, *LARGE)
    assert memory.empty(0, (3,), F32).base is None, "small arrays are NumPy's own"


def test_a_jitted_function_called_again_keeps_earlier_results() -> None:
    double = engine.jit(lambda x: x * 2)
    x = engine.ones(1024, 512)
    results = [double(x * k) for k in range(4)]
    for k, result in enumerate(results):
        np.testing.assert_array_equal(result.numpy(), np.full((1024, 512), 2 * k, np.float32))
