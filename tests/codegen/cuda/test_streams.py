"""What launches touch in, which wait for which out: held against the order of one stream."""

import random

import pytest

from codegen.cuda.streams import Touch, turns_of


def launch(reads, writes):
    return [Touch(at, at + 1, False) for at in reads] + [Touch(at, at + 1, True) for at in writes]


def happened(turns):
    """For each launch, all launches that have ended when it begins."""
    found, streams = [], {}
    for number, turn in enumerate(turns):
        before = set(streams.get(turn.stream, set()))
        for other in turn.waits:
            assert turns[other].signals
            before |= found[other] | {other}
        found.append(before)
        streams[turn.stream] = before | {number}
    return found


def test_a_chain_is_one_stream_without_waits():
    turns = turns_of([launch([at], [at + 1]) for at in range(5)])
    assert [turn.stream for turn in turns] == [0] * 5
    assert not any(turn.waits or turn.signals for turn in turns)


def test_what_has_nothing_in_common_has_streams_of_its_own():
    turns = turns_of([launch([], [0]), launch([], [1]), launch([0, 1], [2])])
    assert turns[0].stream != turns[1].stream
    assert len(turns[2].waits) == 1


def test_readers_of_the_same_bytes_do_not_wait_for_one_another():
    turns = turns_of([launch([], [0]), launch([0], [1]), launch([0], [2])])
    assert turns[1].stream != turns[2].stream
    assert 1 not in turns[2].waits


def test_bytes_are_written_again_after_all_their_readers():
    turns = turns_of([launch([], [0]), launch([0], [1]), launch([0], [2]), launch([], [0])])
    assert happened(turns)[3] == {0, 1, 2}


def test_parts_of_what_was_written_count():
    whole, part = Touch(0, 64, True), Touch(32, 40, False)
    turns = turns_of([[whole], [part], [Touch(0, 16, True)], [Touch(36, 37, True)]])
    assert happened(turns)[2] == {0}
    assert happened(turns)[3] == {0, 1}


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_launch_overtakes_another_that_it_depends_on(most):
    draw = random.Random(most)
    for _ in range(30):
        launches = []
        for _ in range(40):
            start = draw.randrange(12)
            touches = [
                Touch(at, at + draw.randint(1, 4), draw.random() < 0.4)
                for at in (start, draw.randrange(12))
            ]
            launches.append(touches)
        turns = turns_of(launches, most)
        before = happened(turns)
        assert max(turn.stream for turn in turns) < most
        for number, touches in enumerate(launches):
            for other in range(number):
                clash = any(
                    (a.written or b.written) and a.start < b.stop and b.start < a.stop
                    for a in touches
                    for b in launches[other]
                )
                assert not clash or other in before[number]
