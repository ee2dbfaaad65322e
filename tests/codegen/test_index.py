"""Index algebra: whatever the constructors simplify evaluates as Python's arithmetic does."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from codegen.index import (
    ZERO,
    Axis,
    Div,
    Index,
    Mod,
    add,
    axes_of,
    bounds,
    delinearise,
    factor_of,
    floordiv,
    linearise,
    modulo,
    of_axis,
    replaced,
    scale,
)
from ir.dims import evaluate, symbol
from ir.errors import UnsupportedError

AXES = (Axis("i", 6), Axis("j", 4), Axis("k", 3), Axis("u", 1))
POINTS = [
    dict(zip(AXES, point, strict=True))
    for point in product(*(range(int(axis.extent)) for axis in AXES))
]
QUICK = settings(max_examples=300, deadline=None)


def value(index: Index, at) -> int:
    """What an index means: Python's own // and %."""
    total = evaluate(index.offset, {})
    for atom, factor in index.terms:
        if isinstance(atom, Axis):
            part = at[atom]
        elif isinstance(atom, Div):
            part = value(atom.inner, at) // atom.by
        else:
            part = value(atom.inner, at) % atom.by
        total += part * evaluate(factor, {})
    return total


class Term:
    """An index beside the function that it must mean."""

    def __init__(self, index, meaning):
        self.index, self.meaning = index, meaning

    def __repr__(self):
        return str(self.index)


def term_of(axis):
    return Term(of_axis(axis), lambda at: at[axis])


def grow(inner):
    """Bigger terms from smaller ones, by every constructor."""
    whole = st.integers(-4, 4)
    by = st.integers(1, 6)
    return st.one_of(
        st.builds(
            lambda a, b: Term(add(a.index, b.index), lambda at: a.meaning(at) + b.meaning(at)),
            inner,
            inner,
        ),
        st.builds(lambda a, n: Term(scale(a.index, n), lambda at: a.meaning(at) * n), inner, whole),
        st.builds(
            lambda a, n: Term(add(a.index, n), lambda at: a.meaning(at) + n),
            inner,
            st.integers(-9, 9),
        ),
        st.builds(
            lambda a, n: Term(floordiv(a.index, n), lambda at: a.meaning(at) // n), inner, by
        ),
        st.builds(lambda a, n: Term(modulo(a.index, n), lambda at: a.meaning(at) % n), inner, by),
    )


TERMS = st.recursive(st.sampled_from(AXES).map(term_of), grow, max_leaves=6)


@QUICK
@given(TERMS)
def test_constructors_mean_what_python_means(term):
    for at in POINTS:
        assert value(term.index, at) == term.meaning(at)


@QUICK
@given(TERMS)
def test_bounds_hold(term):
    found = bounds(term.index)
    assert found is not None
    values = [value(term.index, at) for at in POINTS]
    assert found[0] <= min(values)
    assert max(values) <= found[1]


def inner_indices(index: Index) -> list[Index]:
    found = []
    for atom, _ in index.terms:
        if not isinstance(atom, Axis):
            found += [atom.inner, *inner_indices(atom.inner)]
    return found


@QUICK
@given(TERMS)
def test_nothing_negative_is_divided(term):
    """Machine division rounds toward zero; Python's rounds down."""
    for inner in inner_indices(term.index):
        assert min(value(inner, at) for at in POINTS) >= 0


@QUICK
@given(TERMS, st.sampled_from(AXES))
def test_factor_is_the_step_along_an_axis(term, axis):
    factor = factor_of(term.index, axis)
    if axis not in axes_of(term.index):
        assert factor == 0
    if factor is None:
        return
    for at in POINTS:
        if at[axis] + 1 < axis.extent:
            step = value(term.index, {**at, axis: at[axis] + 1}) - value(term.index, at)
            assert step == factor


@QUICK
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_position_and_element_undo_each_other(sizes):
    shape = tuple(sizes)
    axes = [Axis(f"a{at}", size) for at, size in enumerate(shape)]
    index = tuple(of_axis(axis) for axis in axes)
    flat = linearise(index, shape)
    assert delinearise(flat, shape) == index
    for at in np.ndindex(*shape):
        places = dict(zip(axes, at, strict=True))
        assert value(flat, places) == np.ravel_multi_index(at, shape)


@QUICK
@given(st.permutations([2, 3, 4]), st.permutations([2, 6, 2]), st.permutations([2, 3, 4]))
def test_reshapes_there_and_back_vanish(first, middle, last):
    """24 elements through three shapes and back again: the axes themselves."""
    axes = tuple(Axis(f"a{at}", size) for at, size in enumerate(first))
    index = tuple(of_axis(axis) for axis in axes)
    shapes = [tuple(first), tuple(middle), tuple(last), tuple(middle), tuple(first)]
    for old, new in pairwise(shapes):
        index = delinearise(linearise(index, old), new)
    for at in np.ndindex(*first):
        places = dict(zip(axes, at, strict=True))
        assert tuple(value(part, places) for part in index) == at


def test_splitting_and_merging_an_axis_leaves_the_axis():
    axis = Axis("i", 24)
    parts = delinearise(of_axis(axis), (2, 3, 4))
    assert linearise(parts, (2, 3, 4)) == of_axis(axis)
    assert [str(part) for part in parts] == ["(i) // 12", "((i) // 4) % 3", "(i) % 4"]


def test_flipped_axis_is_never_divided_below_zero():
    i, j = Axis("i", 4), Axis("j", 3)
    flat = add(scale(of_axis(i), -3), scale(of_axis(j), -1), 11)
    for by in range(2, 7):
        for inner in inner_indices(add(floordiv(flat, by), modulo(flat, by))):
            reach = bounds(inner)
            assert reach is not None
            assert reach[0] >= 0


def test_an_axis_in_blocks_means_the_same():
    row, column, block, inner = Axis("i", 12), Axis("j", 4), Axis("c", 3), Axis("i", 4)
    flat = add(scale(of_axis(row), 4), of_axis(column), 5)
    index = add(floordiv(flat, 6), modulo(flat, 7))
    cut = replaced(index, {row: add(scale(of_axis(block), 4), of_axis(inner))})
    assert row not in axes_of(cut)
    for c, i, j in np.ndindex(3, 4, 4):
        at = {block: c, inner: i, column: j}
        assert value(cut, at) == value(index, {row: 4 * c + i, column: j})


def test_symbolic_sizes_scale_but_do_not_divide():
    n = symbol("N")
    rows = Axis("n", n)
    flat = linearise((of_axis(rows), of_axis(AXES[0])), (n, 6))
    assert delinearise(flat, (n, 6)) == (of_axis(rows), of_axis(AXES[0]))
    assert bounds(flat) is None
    with pytest.raises(UnsupportedError, match="symbolic size N"):
        floordiv(of_axis(rows), n)


def test_text():
    i, j = AXES[:2]
    index = add(scale(of_axis(i), 4), of_axis(j), -3)
    assert str(index) == "i * 4 + j - 3"
    assert str(ZERO) == "0"
    assert index.static is None
    assert add(2, 3).static == 5
    assert math.prod(int(axis.extent) for axis in axes_of(index)) == 24
    assert str(modulo(add(of_axis(i), of_axis(j)), 5)) == "(i + j) % 5"
    assert isinstance(modulo(of_axis(i), 4).terms[0][0], Mod)
