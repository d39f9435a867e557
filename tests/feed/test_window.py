"""The window under any order of answers, deaths and ends."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.feed.messages import Ask
from stoker.feed.window import Window
from stoker.outcome import Value


def issue(window: Window, count: int) -> None:
    for _ in range(count):
        ticket = window.next_new
        window.issue([Ask(0, ticket, 0, ticket, 0)])


class Crowd:
    """Workers that answer in the order they were asked, when told to."""

    def __init__(self, window: Window, workers: int) -> None:
        self.window = window
        self.open: list[deque[Ask]] = [deque() for _ in range(workers)]
        self.made: list[int] = []

    def hand_out(self, makers: int = 0, together: int = 1) -> None:
        before = list(map(len, self.open))
        given = self.window.assign(makers, together)
        assert not makers or all(worker < makers for worker in given)
        after = [count + len(given.get(worker, ())) for worker, count in enumerate(before)]
        assert all(after[worker] <= min(after[:makers or len(after)]) + together for worker in given), "nobody is given more than is due"
        for worker, asks in given.items():
            self.open[worker].extend(asks)

    def answer(self, worker: int, most: int = 1) -> None:
        """Answers to so many asks, or to all there are, as one run."""
        if self.open[worker]:
            tickets = [self.open[worker].popleft().ticket for _ in range(min(most, len(self.open[worker])))]
            self.made += tickets
            payloads = [Value(f"batch {ticket}") if ticket % 3 else f"batch {ticket}" for ticket in tickets]
            assert self.window.got(worker, tickets, payloads) == len(tickets)

    def die(self, worker: int) -> None:
        first = self.open[worker][0] if self.open[worker] else None
        self.open[worker].clear()
        assert self.window.died(worker) == first


def plain(payload):
    return payload.value if type(payload) is Value else payload


kinds = st.sampled_from(["answer", "run", "late", "die", "take", "take values", "issue", "issue together"])
events = st.lists(st.tuples(kinds, st.integers(0, 4)), max_size=200)


@given(bound=st.integers(1, 12), workers=st.integers(1, 5), events=events)
def test_any_order_of_answers_and_deaths_gives_each_batch_once_in_order(bound, workers, events):
    window = Window(bound, workers)
    crowd = Crowd(window, workers)
    taken = []
    for event, number in events:
        worker = number % workers
        if event == "answer":
            crowd.answer(worker)
        elif event == "run":
            crowd.answer(worker, 1 + number)
        elif event == "late":
            past = [window.next_new, window.next_new + 1]
            assert window.got(worker, past, ["late", "late"]) == 0
        elif event == "die":
            crowd.die(worker)
        elif event == "take" and window.is_ready():
            taken.append(plain(window.take()[1]))
        elif event == "take values":
            first = window.next_out
            asks, values = window.take_values(first + number)
            assert [ask.ticket for ask in asks] == list(range(first, window.next_out)) and len(asks) == len(values) <= number
            taken += map(plain, values)
        elif event.startswith("issue"):
            issue(window, min(number, window.room))
            crowd.hand_out(*(min(number + 1, workers), 1 + number) if event == "issue together" else ())
        window.check()
        assert window.next_new - window.next_out <= bound
    crowd.hand_out()
    while window.next_out < window.next_new:
        for worker in range(workers):
            crowd.answer(worker)
        while window.is_ready():
            taken.append(plain(window.take()[1]))
        window.check()
    assert taken == [f"batch {ticket}" for ticket in range(window.next_new)]
    assert window.is_idle


def test_values_are_taken_up_to_the_first_that_is_not_there_or_must_be_unpacked():
    window = Window(6, 1)
    issue(window, 6)
    window.assign()
    window.got(0, range(5), [Value(0), Value(1), "packed", Value(3), Value(4)])
    assert [value.value for value in window.take_values(1)[1]] == [0]
    assert [value.value for value in window.take_values(6)[1]] == [1] and window.take_values(6) == ([], [])
    assert window.take()[1] == "packed"
    assert [ask.ticket for ask in window.take_values(6)[0]] == [3, 4] and window.next_out == 5
    window.check()


@given(bound=st.integers(1, 8), end=st.integers(0, 20), seed=st.integers(0, 1000))
def test_the_end_of_a_stream_takes_back_what_was_issued_after_it(bound, end, seed):
    window = Window(bound, 3, owner=1)
    luck = random.Random(seed)
    open_asks: deque[Ask] = deque()
    taken = []
    while True:
        issue(window, luck.randint(0, window.room))
        for worker, asks in window.assign().items():
            assert worker == 1
            open_asks.extend(asks)
        window.check()
        if open_asks and luck.random() < 0.7:
            ask = open_asks.popleft()
            is_over = ask.ticket >= end
            assert window.ended(1, ask.ticket) if is_over else window.got(1, [ask.ticket], [ask.ticket]) == 1
            window.check()
            if is_over and window.settle_end():
                break
        while window.is_ready() and luck.random() < 0.5:
            taken.append(window.take()[1])
    window.check()
    while window.is_ready():
        taken.append(window.take()[1])
    assert taken == list(range(end))
    assert window.next_new == end and window.room == bound


def test_a_worker_that_dies_after_it_told_the_end_of_a_stream_leaves_nothing_behind():
    window = Window(6, 1, owner=0)
    issue(window, 4)
    window.assign()
    assert window.got(0, [0], ["first"]) == 1 and window.ended(0, 1)
    assert not window.settle_end()
    assert window.died(0) is None
    window.check()
    assert window.settle_end() and not window.has_waiting
    assert window.take()[1] == "first" and window.is_idle and window.room == 6
    window.check()


def test_an_answer_from_a_worker_that_was_given_up_is_not_counted():
    window = Window(4, 2)
    issue(window, 2)
    window.assign()
    lost = window.died(0)
    assert lost is not None and lost.ticket == 0
    assert not window.got(0, [0], ["late"])
    window.check()
    window.assign()
    window.check()


def test_of_a_run_only_what_is_waited_for_is_counted():
    window = Window(6, 1)
    issue(window, 3)
    window.assign()
    assert window.got(0, (0, 1, 2, 3), ("a", "b", "c", "from before")) == 3
    window.check()
    assert [window.take()[1] for _ in range(3)] == ["a", "b", "c"] and not window.is_ready()


def test_deaths_are_counted_for_the_batch_the_worker_was_at_and_not_for_those_behind_it():
    window = Window(4, 1)
    issue(window, 3)
    for expected in (1, 2):
        window.assign()
        window.died(0)
        assert (window.deaths(0), window.deaths(1)) == (expected, 0)
    window.give_up(0, "an error")
    window.check()
    assert window.take()[1] == "an error"


def test_tickets_are_spread_over_the_workers():
    window = Window(6, 3)
    issue(window, 6)
    assert {worker: len(asks) for worker, asks in window.assign().items()} == {0: 2, 1: 2, 2: 2}


def test_tickets_that_go_together_are_spread_too():
    window = Window(16, 3)
    issue(window, 16)
    assert {worker: [ask.ticket for ask in asks] for worker, asks in window.assign(3, 4).items()} == {
        0: [0, 1, 2, 3, 12, 13, 14, 15], 1: [4, 5, 6, 7], 2: [8, 9, 10, 11]}


def test_more_than_the_bound_is_refused():
    window = Window(2, 1)
    issue(window, 2)
    with pytest.raises(AssertionError):
        issue(window, 1)
