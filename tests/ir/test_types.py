"""Dtype names, shapes, and how a type prints."""

import numpy as np
import pytest

from ir.dims import symbol
from ir.types import BOOL, F32, I64, TensorType, dtype_of, is_float, short


@pytest.mark.parametrize("value", ["f32", "float32", np.float32, np.dtype(np.float32)])
def test_dtype_of_accepts_names_and_numpy(value):
    assert dtype_of(value) == F32


@pytest.mark.parametrize("value", ["complex64", np.longdouble, "U3", object])
def test_unsupported_dtypes_list_the_supported(value):
    with pytest.raises(TypeError, match=r"not supported; supported are .*float32"):
        dtype_of(value)


def test_printing():
    assert short(I64) == "i64"
    assert str(TensorType(F32, (symbol("N"), 10))) == "f32[N,10]"
    assert str(TensorType(BOOL, ())) == "bool[]"


def test_properties():
    batch = symbol("N")
    kind = TensorType(F32, (batch, 3, 2))
    assert (kind.rank, kind.numel, kind.is_static) == (3, 6 * batch, False)
    assert kind.with_shape([4]) == TensorType(F32, (4,))
    assert kind.with_dtype(I64).dtype == I64
    assert is_float(F32)
    assert not is_float(BOOL)
