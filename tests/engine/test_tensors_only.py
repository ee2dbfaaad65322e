"""A number where a tensor belongs in, an error that says so out; operators take either side."""

import numpy as np
import pytest

import engine
from engine.dispatch import TENSORS
from engine.errors import DTypeError

X = engine.tensor([1.0, -2.0])
FUNCTIONS = sorted(name for name in TENSORS if not name.startswith("__"))
BOTH = [name for name in FUNCTIONS if TENSORS[name] == 2]


@pytest.mark.parametrize("name", [*FUNCTIONS, "arctan2", "clip", "clamp_min", "greater", "max"])
def test_the_first_operand_is_a_tensor(name: str) -> None:
    with pytest.raises(DTypeError, match=r"takes a tensor as operand 1, not float"):
        getattr(engine, name)(2.0, X)
    assert issubclass(DTypeError, TypeError)


@pytest.mark.parametrize("name", BOTH)
def test_so_is_the_second(name: str) -> None:
    with pytest.raises(DTypeError, match=r"operand 2, not int"):
        getattr(engine, name)(X, 2)


@pytest.mark.parametrize("name", [name for name in TENSORS if name.startswith("__")])
def test_reflected_methods_are_of_tensors(name: str) -> None:
    with pytest.raises(DTypeError):
        getattr(engine.Tensor, name)(True, engine.tensor([True]))


def test_operators_take_a_number_on_either_side() -> None:
    whole = engine.tensor([1, 2, 5])
    assert (2 - X).tolist() == [1.0, 4.0]
    assert (2 + X).tolist() == [3.0, 0.0]
    assert (3 * X).tolist() == [3.0, -6.0]
    assert (2**whole).tolist() == [2, 4, 32]
    assert (7 % whole).tolist() == [0, 1, 2]
    assert (7 // whole).tolist() == [7, 3, 1]
    assert (6 & whole).tolist() == [0, 2, 4]
    assert (6 | whole).tolist() == [7, 6, 7]
    assert (6 ^ whole).tolist() == [7, 4, 3]
    assert (X > 0).tolist() == [True, False]
    assert (True | (X > 0)).tolist() == [True, True]


def test_a_step_raises_as_well() -> None:
    with pytest.raises(DTypeError):
        engine.jit(lambda x: engine.maximum(x, 0.0))(X)


def test_matmul_by_name_takes_a_tensor_or_an_array() -> None:
    left = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    for given in (left, engine.tensor(left)):
        np.testing.assert_array_equal(X.__rmatmul__(given).numpy(), left @ X.numpy())
