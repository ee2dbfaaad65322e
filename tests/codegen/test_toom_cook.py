"""The matrices of short fast convolutions: exact in rational numbers, twins share their terms."""

import numpy as np
import pytest

from codegen.mixtures import mixtures
from codegen.nest import Const, walk
from codegen.toom_cook import transforms
from ir.types import F32

SIZES = [
    (2, 2),
    (3, 2),
    (4, 2),
    (2, 3),
    (3, 3),
    (4, 3),
    (3, 4),
    (2, 4),
    (4, 5),
    (5, 5),
    (6, 4),
    (3, 7),
]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_they_make_a_correlation(m, r):
    rng = np.random.default_rng(m * 10 + r)
    x, taps = rng.normal(size=m + r - 1), rng.normal(size=r)
    found = transforms(m, r)
    y = np.array(found.interpolate) @ ((np.array(found.taps) @ taps) * (np.array(found.tile) @ x))
    np.testing.assert_allclose(y, np.correlate(x, taps), rtol=1e-12, atol=1e-13)


def test_more_points_than_there_are():
    with pytest.raises(AssertionError, match="10 points"):
        transforms(4, 7)


def test_rows_that_differ_in_signs_share_their_parts():
    parts = {i: Const(float(i), F32) for i in range(3)}
    plus, minus = mixtures(parts, ((1.0, 2.0, 4.0), (1.0, -2.0, 4.0)), F32)
    assert (plus.op, minus.op) == ("add", "sub")
    assert plus.args == minus.args
    assert len(list(walk([plus, minus]))) < 2 * len(list(walk([plus])))
