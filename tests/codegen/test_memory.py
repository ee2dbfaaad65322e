"""Memory plans: small, aligned, and proved free of overlap by a checker that catches plants."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from codegen.memory import Interval, MemoryPlanError, check, peak, plan, report, shared

BUFFERS = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 30), st.integers(0, 12)), max_size=40
).map(lambda rows: [Interval(f"b{i}", s, f, f + d) for i, (s, f, d) in enumerate(rows)])


def overlapping(done, buffers):
    """Every pair, byte range against byte range: slow and obvious."""
    at = done.offsets
    return [
        (a.name, b.name)
        for i, a in enumerate(buffers)
        for b in buffers[:i]
        if a.first <= b.last and b.first <= a.last
        if at[a.name] < at[b.name] + b.size and at[b.name] < at[a.name] + a.size
        if a.size and b.size
    ]


@given(BUFFERS, st.sampled_from([1, 64, 128]))
def test_plans_hold(buffers, align):
    done = plan(buffers, align)
    check(done, buffers)
    assert not overlapping(done, buffers)
    assert peak(buffers) <= done.total <= sum(b.size + align for b in buffers)


@given(BUFFERS, st.randoms())
def test_check_agrees_with_all_pairs_on_broken_plans(buffers, rng):
    done = plan(buffers)
    moved = {name: rng.randrange(0, done.total + 1, 64) for name in done.offsets}
    broken = replace(done, offsets=moved, total=done.total + 20_000)
    if overlapping(broken, buffers):
        with pytest.raises(MemoryPlanError, match="overlap"):
            check(broken, buffers)
    else:
        check(broken, buffers)


def test_buffers_in_turn_share_bytes():
    chain = [Interval(f"x{i}", 1000, i, i + 1) for i in range(50)]
    assert plan(chain).total == 2 * 1024


def test_the_tightest_gap_is_taken():
    buffers = [Interval("a", 640, 0, 9), Interval("hole", 128, 0, 3), Interval("b", 320, 0, 9)]
    buffers.append(Interval("late", 128, 4, 9))
    done = plan(buffers)
    assert done.total == 640 + 320 + 128
    assert done.offsets["late"] == done.offsets["hole"]


def test_check_names_both_buffers():
    buffers = [Interval("weights", 100, 0, 4), Interval("grads", 100, 4, 6)]
    done = plan(buffers)
    planted = replace(done, offsets={"weights": 0, "grads": 64})
    with pytest.raises(MemoryPlanError, match=r"phase 4: weights .* and grads .* overlap"):
        check(planted, buffers)


@pytest.mark.parametrize(
    ("offsets", "said"),
    [({}, "no place"), ({"a": -64}, "leaves"), ({"a": 64}, "leaves"), ({"a": 8}, "aligned")],
)
def test_check_refuses_bad_places(offsets, said):
    done = replace(plan([Interval("a", 100, 0, 1)]), offsets=offsets)
    with pytest.raises(MemoryPlanError, match=said):
        check(done, [Interval("a", 50 if said == "aligned" else 100, 0, 1)])


def test_bad_intervals_are_refused():
    with pytest.raises(MemoryPlanError):
        Interval("a", -1, 0, 0)
    with pytest.raises(MemoryPlanError):
        Interval("a", 1, 3, 2)
    with pytest.raises(MemoryPlanError, match="one name"):
        plan([Interval("a", 1, 0, 0), Interval("a", 1, 0, 0)])


def test_two_hundred_buffers_are_quick_and_near_the_bound():
    rng = random.Random(0)
    sizes = [rng.randrange(1000, 1_000_000) for _ in range(200)]
    forward = [Interval(f"a{i}", sizes[i], i, 199 - i) for i in range(100)]
    backward = [Interval(f"g{i}", sizes[100 + i], 199 - i, 200 - i) for i in range(100)]
    done = plan(forward + backward)
    assert done.total < 1.1 * peak(forward + backward)


def test_report_is_a_table():
    text = report(plan([Interval("x", 100, 0, 1), Interval("empty", 0, 0, 0)]))
    assert "x " in text
    assert "alive at once 100" in text
    assert report(plan([]))


def test_what_lies_in_the_place_of_another_is_told():
    done = plan([Interval("old", 128, 0, 4), Interval("other", 64, 0, 1)])
    both = shared(done, {"new": "old", "newer": "new"})
    assert both.offsets["old"] == both.offsets["new"] == both.offsets["newer"]
    assert both.total == done.total
    assert "newer in the place of new" in " ".join(report(both).split())
