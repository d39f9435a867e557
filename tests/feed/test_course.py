"""The way through the passes of a source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoker.feed.course import Course
from stoker.source.order import order


@given(seed=st.integers(0, 2**63), passes=st.integers(1, 4), length=st.integers(1, 30), shuffle=st.booleans())
def test_each_pass_asks_for_each_index_once(seed, passes, length, shuffle):
    course = Course("indexed", 0, seed, shuffle)
    ticket = 0
    for number in range(passes):
        course.begin_pass(ticket, length)
        asks = []
        while not course.at_pass_end:
            asks += course.asks(ticket, 1)
            assert course.position(ticket) == (number, len(asks) - 1)
            ticket += 1
        course.end_pass(ticket)
        assert sorted(ask.index for ask in asks) == list(range(length))
        assert {ask.pass_number for ask in asks} == {number}
        assert course.pass_end(asks[0].ticket) == ticket
        assert course.position(ticket) == (number + 1, 0)


@given(seed=st.integers(0, 99), length=st.integers(1, 30), cut=st.integers(0, 29))
def test_a_course_that_begins_in_the_middle_asks_for_the_rest(seed, length, cut):
    cut = min(cut, length)
    course = Course("indexed", 0, seed, True)
    course.go_to(3, cut)
    course.begin_pass(0, length)
    asked = []
    while not course.at_pass_end:
        asked += [ask.index for ask in course.asks(len(asked), 1)]
    assert asked == list(order(seed, 3, length, True)[cut:])
    assert course.pass_end(0) == (length - cut or None)


def test_the_order_depends_on_seed_and_pass_and_nothing_else():
    assert list(order(1, 0, 50, True)) == list(order(1, 0, 50, True))
    assert list(order(1, 0, 50, True)) != list(order(1, 1, 50, True))
    assert list(order(1, 0, 50, True)) != list(order(2, 0, 50, True))
    assert list(order(1, 0, 5, False)) == [0, 1, 2, 3, 4]
