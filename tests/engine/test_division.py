"""Integers in, exact quotients, remainders, powers and shifts out, against Python's own."""

from collections.abc import Callable

import numpy as np
import pytest

import engine as torch

DTYPES = (np.int8, np.int32, np.int64, np.uint8)
Binary = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def pairs(dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of every length, and the ends; no divisor is 0 or -1 (which may overflow)."""
    draw, ends = np.random.default_rng(0), np.iinfo(dtype)
    a, b = draw.integers(ends.min, ends.max, (2, 300), dtype, endpoint=True)
    b >>= draw.integers(0, ends.bits - 1, 300).astype(dtype)
    a[:6] = [ends.max, ends.max, ends.min, ends.min, ends.max, ends.max - 1]
    b[:6] = [1, 3, 1, 3, ends.max, ends.max]
    b[(b == 0) | (b == dtype(ends.min == 0) - 1)] = 7
    return a, b


def trunc(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode="trunc")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compiled", [False, True])
def test_quotients_are_exact(dtype: type, compiled: bool) -> None:
    a, b = pairs(dtype)
    whole = [int(x) // int(y) for x, y in zip(a, b, strict=True)]
    rest = [int(x) % int(y) for x, y in zip(a, b, strict=True)]
    cut = [q + (q < 0 and r != 0) for q, r in zip(whole, rest, strict=True)]
    table: tuple[tuple[Binary, list[int]], ...] = (
        (lambda x, y: x // y, whole),
        (lambda x, y: x % y, rest),
        (trunc, cut),
    )
    for function, wanted in table:
        run = torch.jit(function) if compiled else function
        found = run(torch.tensor(a), torch.tensor(b))
        assert found.dtype == np.dtype(dtype)
        assert found.tolist() == wanted


def test_division_of_integers_by_zero_raises() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        torch.tensor([1]) // torch.tensor([0])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        torch.tensor([1]) % 0


def test_float_remainders_are_exact_and_whole_quotients_flat() -> None:
    x = torch.tensor([1e30, -7.5, 7.5], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([3.7, 2.0, -2.0], dtype=torch.float64, requires_grad=True)
    found = x % y
    np.testing.assert_array_equal(found.detach().numpy(), np.mod(x.tolist(), y.tolist()))
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 1]
    x.grad = None
    torch.div(x, y, rounding_mode="floor").sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("compiled", [False, True])
def test_powers_wrap_as_products_do(compiled: bool) -> None:
    base, exponent = [3, -2, 7, 1, -1, -1, 5, 0], [40, 63, 2, -5, -3, -4, -1, 0]
    run = torch.jit(torch.pow) if compiled else torch.pow
    wrapped = (3**40 + 2**63) % 2**64 - 2**63
    assert run(torch.tensor(base), torch.tensor(exponent)).tolist() == [
        wrapped,
        -(2**63),
        49,
        1,
        -1,
        1,
        0,
        1,
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_shifts(dtype: type) -> None:
    a, _ = pairs(dtype)
    counts = (np.arange(300) % (np.iinfo(dtype).bits - 1)).astype(dtype)
    x, n = torch.tensor(a), torch.tensor(counts)
    np.testing.assert_array_equal((x << n).numpy(), a << counts)
    np.testing.assert_array_equal((x >> n).numpy(), a >> counts)
    np.testing.assert_array_equal(torch.jit(lambda x, n: x >> n)(x, n).numpy(), a >> counts)
    assert (1 << torch.tensor([3])).tolist() == [8]
