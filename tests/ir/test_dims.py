"""Symbolic sizes: exact arithmetic, exact division, values."""

import pytest
from hypothesis import given, strategies as st

from ir.dims import Dim, divide, evaluate, product, symbol, symbols

N, M = symbol("N"), symbol("M")
SIZES = st.recursive(
    st.one_of(st.integers(-3, 3), st.sampled_from([N, M])),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] - pair[1]),
    ),
    max_leaves=5,
)
ENVS = st.fixed_dictionaries({"N": st.integers(0, 9), "M": st.integers(0, 9)})


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (N, "N"),
        (2 * N + 1, "2*N+1"),
        (1 + N * 2, "2*N+1"),
        (N * M * 3 - 4, "3*M*N+-4"),
        (N * N, "N*N"),
        (-N, "-1*N"),
        (5 - N, "-1*N+5"),
    ],
)
def test_prints_sorted(size, text):
    assert str(size) == text


def test_constants_are_plain_ints():
    assert N - N == 0
    assert isinstance(N - N + 3, int)
    assert 0 * N == 0
    assert (N + 1) - N == 1


def test_equality_is_structural():
    assert (N + M) * 2 == 2 * M + 2 * N
    assert N != M
    assert N != 4
    assert hash(N + 1) == hash(1 + N)


@given(SIZES, SIZES, ENVS)
def test_arithmetic_commutes_with_evaluation(a, b, env):
    assert evaluate(a + b, env) == evaluate(a, env) + evaluate(b, env)
    assert evaluate(a * b, env) == evaluate(a, env) * evaluate(b, env)
    assert evaluate(a - b, env) == evaluate(a, env) - evaluate(b, env)


@given(SIZES, st.sampled_from([N, M, 2 * N, 3, N * M]))
def test_division_undoes_multiplication(size, by):
    assert divide(size * by, by) == size


@pytest.mark.parametrize(("size", "by"), [(N, 2), (N + 1, N), (7, 2), (N, M), (4, N), (N, N + 1)])
def test_inexact_division_is_an_error(size, by):
    with pytest.raises(ValueError, match=r"multiple|divide"):
        divide(size, by)


def test_division_by_zero_is_an_error():
    with pytest.raises(ValueError, match="4 is not a multiple of 0"):
        divide(4, 0)


def test_a_sum_divides_itself():
    assert (N + 1) // (N + 1) == 1
    assert (2 * N) // 2 == N
    assert (6 * N * M) // (3 * M) == 2 * N


def test_product_and_symbols():
    assert product([]) == 1
    assert product([2, N, 3]) == 6 * N
    assert symbols(2 * N * M + 1) == {"N", "M"}
    assert symbols(4) == frozenset()
    assert isinstance(N, Dim)


def test_missing_symbol_is_named():
    with pytest.raises(KeyError, match="M"):
        evaluate(N * M, {"N": 2})
