"""Shapes, lists and arrays in, new tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.dispatch import cast, known_sizes
from engine.dtypes import as_dtype, float32, int64
from engine.errors import DTypeError, message
from engine.locate import user_location
from engine.modes import modes
from engine.random import (
    Generator,
    integer_values,
    manual_seed,
    normal_values,
    permutation,
    set_default_generator,
    uniform_values,
)
from engine.scalar import Scalar
from engine.shaping import sizes, stack
from engine.storage import Value
from engine.tensor import Tensor
from ir import make
from ir.dims import Dim, Size
from ir.types import U32, DType, dtype_of


def _leaf(x: Tensor, requires_grad: bool) -> Tensor:
    return x.requires_grad_() if requires_grad else x


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A copy of ``data``: lists of floats become float32, of ints int64, arrays keep theirs."""
    if isinstance(data, Tensor):
        return _leaf(_converted(data.detach().clone(), dtype), requires_grad)
    if isinstance(data, Scalar):
        made = full((), data, dtype=dtype or float32)
        return _leaf(made, requires_grad)
    if isinstance(data, list | tuple) and _holds_tensor(data):
        return _leaf(_converted(stack([tensor(item) for item in data]), dtype), requires_grad)
    wanted = None if dtype is None else as_dtype(dtype)
    array = np.array(data, wanted)
    if wanted is None and not isinstance(data, np.ndarray | np.generic):
        natural = {"f": float32, "i": int64}.get(array.dtype.kind)
        array = array if natural is None else array.astype(natural, copy=False)
        if array.size == 0:
            array = array.astype(float32)
    return _leaf(_concrete(array), requires_grad)


def _holds_tensor(data: Sequence[Any]) -> bool:
    return any(isinstance(item, Tensor | Scalar) for item in data)


def _converted(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else cast(x, as_dtype(dtype))


def _concrete(array: Any) -> Tensor:
    try:
        dtype_of(array.dtype)
    except TypeError as error:
        raise DTypeError(message(user_location(), str(error))) from None
    return Tensor._from_array(array)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """``data`` as a tensor, sharing its memory where it can."""
    if isinstance(data, Tensor):
        return _converted(data, dtype)
    if isinstance(data, np.ndarray):
        return _converted(from_numpy(data), dtype)
    return tensor(data, dtype)


def from_numpy(array: Any) -> Tensor:
    """A tensor over the memory of ``array``."""
    return _concrete(array)


def full(
    size: int | Sequence[Size], fill_value: Any, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """``fill_value`` everywhere; its Python type gives the dtype."""
    shape = sizes((size,))
    kind = as_dtype(dtype) if dtype is not None else _natural(fill_value)
    if modes.trace is None:
        array = np.full(known_sizes(shape), fill_value, kind)
        return _leaf(Tensor._from_array(array), requires_grad)
    scalar = make.cast(fill_value.node, kind) if isinstance(fill_value, Scalar) else None
    if scalar is None:
        scalar = make.constant(fill_value, kind)
    node = make.broadcast(scalar, shape, ()) if shape else scalar
    return _leaf(Tensor._from_value(Value(node.type, None, node)), requires_grad)


def _natural(value: Any) -> DType:
    if isinstance(value, bool):
        return as_dtype(bool)
    return int64 if isinstance(value, int) else float32


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros, float32 unless told."""
    return full(sizes(size), 0, dtype or float32, requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones, float32 unless told."""
    return full(sizes(size), 1, dtype or float32, requires_grad)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor to be filled; it holds zeros, so that nothing depends on old memory."""
    return full(sizes(size), 0, dtype or float32, requires_grad)


def zeros_like(x: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the type of ``x``."""
    return full(x.shape, 0, dtype or x.dtype, requires_grad)


def ones_like(x: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the type of ``x``."""
    return full(x.shape, 1, dtype or x.dtype, requires_grad)


empty_like = zeros_like


def full_like(x: Tensor, fill_value: Any, dtype: Any = None) -> Tensor:
    """``fill_value`` with the type of ``x``."""
    return full(x.shape, fill_value, dtype or x.dtype)


def arange(start: Any, end: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """``start``, ``start + step``, ... below ``end``; int64 for ints, float32 for floats."""
    start, end = (0, start) if end is None else (start, end)
    whole = all(isinstance(v, int | Dim) for v in (start, end, step))
    kind = as_dtype(dtype) if dtype is not None else int64 if whole else float32
    if modes.trace is None:
        return Tensor._from_array(np.arange(start, end, step, dtype=kind))
    if isinstance(end, Dim) or isinstance(start, Dim):
        count = (end - start) // step
    else:
        count = len(np.arange(start, end, step))
    node = make.iota((count,), 0, kind)
    counted = Tensor._from_value(Value(node.type, None, node))
    return counted * step + start if (start, step) != (0, 1) else counted


def linspace(start: float, end: float, steps: int, dtype: Any = None) -> Tensor:
    """``steps`` evenly spaced values, ends included."""
    kind = as_dtype(dtype or float32)
    return tensor(np.linspace(start, end, steps).astype(kind))


def eye(n: int, m: int | None = None, dtype: Any = None) -> Tensor:
    """Ones on the diagonal."""
    return tensor(np.eye(n, m, dtype=as_dtype(dtype or float32)))


def rand(
    *size: Any, dtype: Any = None, generator: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform in [0, 1)."""
    drawn = uniform_values(sizes(size), as_dtype(dtype or float32), generator)
    return _leaf(drawn, requires_grad)


def randn(
    *size: Any, dtype: Any = None, generator: Any = None, requires_grad: bool = False
) -> Tensor:
    """Standard normal."""
    drawn = normal_values(sizes(size), as_dtype(dtype or float32), generator)
    return _leaf(drawn, requires_grad)


def rand_like(x: Tensor) -> Tensor:
    """Uniform in [0, 1), of the type of ``x``."""
    return uniform_values(x.shape, x.dtype)


def randn_like(x: Tensor) -> Tensor:
    """Standard normal, of the type of ``x``."""
    return normal_values(x.shape, x.dtype)


def randint(
    low: int, high: Any, size: Any = None, dtype: Any = None, generator: Any = None
) -> Tensor:
    """Uniform integers in [low, high); ``randint(high, size)`` starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    return integer_values(low, high, sizes((size,)), as_dtype(dtype or int64), generator)


def randperm(n: int, generator: Any = None) -> Tensor:
    """A random order of ``range(n)``."""
    return Tensor._from_array(permutation(n, generator))


def make_generator(seed: int = 0) -> Generator:
    """A stream of random numbers of its own."""
    return Generator(Tensor._from_array(np.zeros(2, U32))).manual_seed(seed)


set_default_generator(Generator(Tensor._from_array(np.zeros(2, U32))))
manual_seed(0)
